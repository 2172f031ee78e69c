/** The answer to bytes that are no valid request: plain HTTP, after which the connection is closed. */
import { PROBLEM_TYPE, problemBody } from '../../core/problem.ts'

/** `status`: code and reason phrase, such as `400 Bad Request`. `detail`: what the client should do. */
export function refusal(status: string, detail?: string): string {
  const body = problemBody(Number(status.slice(0, 3)), detail === undefined ? {} : { detail })
  return (
    `HTTP/1.1 ${status}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n` +
    `Proxy-Status: infergate; error=http_request_error\r\n\r\n${body}`
  )
}
