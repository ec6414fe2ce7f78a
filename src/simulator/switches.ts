// The levers that stay on until they are switched off.

/** Their state. */
export class Switches {
  /** Nothing is sent. */
  silent = false;
  /** HTTP status that answers each upgrade; undefined while upgrades are accepted. */
  refuseUpgrade: number | undefined;
  /** New connections never receive anything. */
  mute = false;
  /** New connections are closed as soon as they are open. */
  hangUpAtOnce = false;
  /** One bad product makes the whole subscribe fail. */
  refuseAll = false;
  /** The last trades go out before the `subscriptions` reply. */
  dataFirst = false;
  /** Heartbeats are sent. */
  heartbeats = true;
  /** How long each frame is delayed, ms. */
  delayMs = 0;
  /** Added to every time that is sent. */
  clockOffsetMs = 0;
}
