// Certificates and keys in PEM, checked before any connection is made.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { type Kind, WrongValue } from "./setting.ts";

/** PEM text; it may be a single line in which the line ends are written as `\n`. */
function pem(expected: string, check: (pem: string) => string | undefined): Kind<string> {
  return {
    expected,
    parse(text) {
      const pem = text.replaceAll("\\n", "\n");
      const why = pem === "" ? undefined : check(pem);
      if (why !== undefined) throw new WrongValue(why);
      return pem;
    },
  };
}

/** One or more certificates; empty: none. */
export function certificates(expected: string): Kind<string> {
  return { ...pem(expected, wrongInCertificates), file: true };
}

/** A private key without a passphrase; empty: none. */
export function privateKey(): Kind<string> {
  return { ...pem("a PEM private key without a passphrase", wrongInKey), secret: true };
}

/** Whether the key belongs to the (first) certificate. Both must be PEM that can be read. */
export function isKeyOf(key: string, certificate: string): boolean {
  return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
}

/** What was found instead of good certificates, in words that follow "got". */
function wrongInCertificates(pem: string): string | undefined {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
  const begun = pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  if (begun === 0) return 'text without "-----BEGIN CERTIFICATE-----"';
  if (begun > found.length) return 'a "-----BEGIN CERTIFICATE-----" without its "-----END CERTIFICATE-----"';
  const bad = found.findIndex((one) => {
    try {
      new X509Certificate(one);
      return false;
    } catch {
      return true;
    }
  });
  return bad < 0 ? undefined : `damaged text: certificate ${bad + 1} of ${found.length} cannot be read`;
}

/** What was found instead of a good key, in words that follow "got" and contain nothing of the key. */
function wrongInKey(pem: string): string | undefined {
  const kind = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----/.exec(pem)?.[1];
  if (kind === undefined) return 'text without "-----BEGIN PRIVATE KEY-----"';
  if (kind.startsWith("ENCRYPTED") || pem.includes("ENCRYPTED")) {
    return "a key with one; remove it with: openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW";
  }
  try {
    createPrivateKey(pem);
    return undefined;
  } catch {
    return "a damaged key, which cannot be read";
  }
}
