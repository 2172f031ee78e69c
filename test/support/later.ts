/**
 * A promise that a test awaits later, or never where it fails before that: its rejection is then nobody's, and no second failure
 * that a second try of the test cannot take back.
 */
export function later<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
