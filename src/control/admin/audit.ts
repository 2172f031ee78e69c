/**
 * The lines of the log that say who has changed what over the admin API, or has tried to. They hold names and numbers that were
 * checked, and never text as it was sent: a password that somebody puts in the wrong member must not end there.
 */

import { GatewayError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { AdminReply, AdminRequest, AdminRoute } from './contract.ts'
import { Problem } from './problem.ts'

/** A write that was let in. */
export interface AuditedWrite {
  readonly route: AdminRoute
  /** The names in its path. */
  readonly params: Readonly<Record<string, string>>
  /** From `Auth`. */
  readonly who: string
  readonly peer: string | undefined
}

/** Runs a write and logs what became of it. Reads, and what changes nothing, are not logged. */
export async function audited(
  log: Log,
  { route, params, who, peer }: AuditedWrite,
  run: () => Promise<{ readonly reply: AdminReply; readonly request: AdminRequest }>,
): Promise<AdminReply> {
  const { audit } = route
  if (!audit) return (await run()).reply
  const about = { action: audit.action, ...params, who, peer }
  try {
    const { reply, request } = await run()
    log.info('admin.write', {
      ...about,
      ...audit.details?.(request),
      outcome: 'done',
      status: reply.status,
    })
    return reply
  } catch (error) {
    const status = statusOf(error)
    const outcome = status < 500 ? 'refused' : 'failed'
    log.warn('admin.write', { ...about, outcome, status, ...reasonOf(error, status) })
    throw error
  }
}

function statusOf(error: unknown): number {
  if (error instanceof Problem) return error.status
  return error instanceof GatewayError ? error.fault.status : 500
}

/** What is wrong with a body may quote the body. */
function reasonOf(error: unknown, status: number): { reason?: string } {
  return error instanceof Problem && ![400, 413, 415].includes(status) ? { reason: error.message } : {}
}
