/** The answer to bytes that are no valid request: plain HTTP, after which the connection is closed. */
import { PROBLEM_TYPE, problemBody } from '../../core/problem.ts'
import { SHOWN_REQUEST_ID } from '../../core/request-id.ts'

/** `status`: code and reason phrase, such as `400 Bad Request`. `detail`: what the client should do. `requestId`: left out where no request is answered. */
export function refusal(
  status: string,
  { detail, requestId }: { readonly detail?: string; readonly requestId?: string } = {},
): string {
  const body = problemBody(Number(status.slice(0, 3)), detail === undefined ? {} : { detail })
  const id = requestId === undefined ? '' : `${SHOWN_REQUEST_ID}: ${requestId}\r\n`
  return (
    `HTTP/1.1 ${status}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n` +
    `Proxy-Status: infergate; error=http_request_error\r\n${id}\r\n${body}`
  )
}
