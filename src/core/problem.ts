/** Problem details (RFC 9457): the body of errors that are not answered in an inference protocol, on every port. */
import { http } from '../lib/http.ts'

export const PROBLEM_TYPE = 'application/problem+json'

/** @param members further members besides `type`, `title` and `status` */
export function problemBody(status: number, members: Readonly<Record<string, unknown>> = {}): string {
  // Section 4.2.1: under `about:blank` the title is the phrase of the status.
  const title = http.STATUS_CODES[status] ?? 'Error'
  return `${JSON.stringify({ type: 'about:blank', title, status, ...members })}\n`
}
