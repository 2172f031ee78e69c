/**
 * What the model server says when it cannot answer: a status and one sentence for the caller. Everything else
 * that is thrown is a fault of ours and becomes a plain 500, without its text.
 */
export class ModelError extends Error {
  readonly status: number
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ModelError'
    this.status = status
  }
}

/** The text of whatever was thrown. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
