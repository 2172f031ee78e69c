/** Errors that the gateway answers in no dialect of an inference protocol: problem details (RFC 9457), at every port. */
import { http } from '../lib/http.ts'

export const PROBLEM_TYPE = 'application/problem+json'

/** `members`: what the problem has beside `type`, `title` and `status`. */
export function problemBody(status: number, members: Readonly<Record<string, unknown>> = {}): string {
  // Section 4.2.1: under `about:blank` the title is the phrase of the status.
  const title = http.STATUS_CODES[status] ?? 'Error'
  return `${JSON.stringify({ type: 'about:blank', title, status, ...members })}\n`
}
