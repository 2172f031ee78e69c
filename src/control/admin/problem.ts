/** Errors of the admin API as problem details (RFC 9457). Any code may throw them; the server writes them. */
import { problemBody } from '../../core/problem.ts'

export interface ProblemExtras {
  /** All faults of a body, each with its place. */
  readonly errors?: readonly string[]
  /** Header fields that belong to the status, as Allow to 405. */
  readonly headers?: Readonly<Record<string, string>>
  /** Whose call it was, for the log. */
  readonly who?: string
}

export class Problem extends Error {
  readonly status: number
  readonly extras: ProblemExtras

  /** `detail` is for people: what is wrong, and what to do. */
  constructor(status: number, detail: string, extras: ProblemExtras = {}) {
    super(detail)
    this.name = 'Problem'
    this.status = status
    this.extras = extras
  }

  get body(): string {
    const { errors } = this.extras
    return problemBody(this.status, { detail: this.message, ...(errors ? { errors } : {}) })
  }
}
