/** Thrown where something cannot be had on this machine: the system is skipped, and the reason is shown. */
export class NotInstalled extends Error {
  override readonly name = 'NotInstalled'
}
