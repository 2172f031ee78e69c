/**
 * Errors that the model server answers: a status and one sentence for the caller. Any other error is an internal one
 * and becomes a plain 500, without its text.
 */
export class ModelError extends Error {
  readonly status: number
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ModelError'
    this.status = status
  }
}

/** The message of any thrown value. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
