/** A file or key set that cannot be used; the message names the setting and the file, and says why. */
export class CredentialsError extends Error {
  /** `setting`: its path in the YAML. */
  constructor(setting: string, place: string, cause: unknown) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'there is no such file' : message
    super(`${setting}: ${place} cannot be used: ${why}`, { cause })
    this.name = 'CredentialsError'
  }
}
