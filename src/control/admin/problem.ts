/** Errors of the admin API: problem details (RFC 9457). Thrown by whoever finds the fault, written by the server. */

export interface ProblemExtras {
  /** Every single fault of a body, with the place of each. */
  readonly errors?: readonly string[]
  /** Header fields that belong to the status, as Allow to 405. */
  readonly headers?: Readonly<Record<string, string>>
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Token needed',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  413: 'Body too large',
  415: 'Unsupported media type',
  500: 'Internal error',
  501: 'Not part of this gateway',
  503: 'Unavailable',
  504: 'Took too long',
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
    return `${JSON.stringify({
      type: 'about:blank',
      title: TITLES[this.status] ?? 'Error',
      status: this.status,
      detail: this.message,
      ...(errors ? { errors } : {}),
    })}\n`
  }
}
