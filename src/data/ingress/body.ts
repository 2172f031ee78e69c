/** The bound on a request's body, said the same way at either door. */
import { GatewayError } from '../../core/errors.ts'

export function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError(
    'bodyTooLarge',
    `the body is larger than ${maxBytes} bytes (server.limits.maxBodyBytes)`,
  )
}
