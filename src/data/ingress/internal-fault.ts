/** What is no fault of the caller's or a backend's: it is logged with its stack, and the caller is told that the log has it. */
import { GatewayError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'

export function internal(log: Log, error: unknown, requestId: string): GatewayError {
  log.error('call.failed', { error: textOf(error), requestId })
  return new GatewayError('internal', 'the gateway failed on this call; its log says why', { cause: error })
}

export function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
