// Durations as text.

/** A duration as short text, rounded down: `0.4 s`, `12 s`, `3 min`, `2 h`, `5 d`. */
export function secondsText(seconds: number): string {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  return wholeSecondsText(seconds);
}

/** The same in whole seconds: `0 s`, `12 s`, `3 min`. */
export function wholeSecondsText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min`;
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86_400)} d`;
}
