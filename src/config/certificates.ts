// Certificates and keys in PEM: checked before any connection, so that what is wrong with them is said at the start.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { type Kind, WrongValue } from "./setting.ts";

/** PEM text. In one that had to be a single line, `\n` stands for the line ends. */
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

/** What is wrong with the certificates, in words that follow "its file". */
function wrongInCertificates(pem: string): string | undefined {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
  const begun = pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  if (begun === 0) return 'has no "-----BEGIN CERTIFICATE-----"';
  if (begun > found.length) return 'has no "-----END CERTIFICATE-----" for each beginning';
  const bad = found.findIndex((one) => {
    try {
      new X509Certificate(one);
      return false;
    } catch {
      return true;
    }
  });
  return bad < 0 ? undefined : `is damaged: certificate ${bad + 1} of ${found.length} cannot be read`;
}

/** What is wrong with the key, in words that follow "its file". They contain nothing of the key. */
function wrongInKey(pem: string): string | undefined {
  const kind = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----/.exec(pem)?.[1];
  if (kind === undefined) return 'has no "-----BEGIN PRIVATE KEY-----"';
  if (kind.startsWith("ENCRYPTED") || pem.includes("ENCRYPTED")) {
    return "wants a passphrase; take it off with: openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW";
  }
  try {
    createPrivateKey(pem);
    return undefined;
  } catch {
    return "is damaged: the key cannot be read";
  }
}
