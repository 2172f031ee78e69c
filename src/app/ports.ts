/**
 * Helpers for the listeners: checks before any thread starts that the data port is free and can be shared between
 * threads, and makes URLs of addresses.
 */

import { createServer, type ListenOptions } from 'node:net'
import { availableParallelism } from 'node:os'
import type { Settings } from '../config/schema.ts'
import type { HostPort } from '../core/addresses.ts'
import type { Log } from '../core/log.ts'

/** Listening sockets of the data port that another process has opened, one a worker. */
export interface InheritedSockets {
  readonly descriptors: readonly number[]
  /** Called when a worker has ended: its socket is closed with it, and only another process can serve that. */
  readonly lost: () => void
}

/** More threads gain little, since they share one memory and one log; a number in the settings overrides it. */
const MAX_AUTO = 8

/** The number of data workers: one where there is one processor, and where threads cannot share a port. */
export async function workerCount({ server }: Settings, log: Log): Promise<number> {
  const { workers } = server
  const count = workers === 'auto' ? Math.min(MAX_AUTO, availableParallelism()) : workers
  if (count === 1) return 1
  const problem = await tried({ host: server.listen.host, port: 0, reusePort: true })
  if (problem?.code !== 'ENOTSUP' && problem?.code !== 'EINVAL') return count
  log.warn('workers.alone', { asked: count, error: problem.message })
  return 1
}

/**
 * Rejects where the port is in use. Threads that share their port would not notice, and would share it with another
 * gateway.
 */
export async function checkFree(at: HostPort): Promise<void> {
  const problem = at.port === 0 ? undefined : await tried({ ...at, exclusive: true })
  if (problem) throw problem
}

/** The error of listening with these options; undefined where it works. */
function tried(options: ListenOptions): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', resolve)
    server.listen(options, () => server.close(() => resolve(undefined)))
  })
}

/** The URL at which processes on this machine reach a listener. */
export function urlOf({ host, port }: HostPort): string {
  if (host === '0.0.0.0') return `http://127.0.0.1:${port}`
  if (host === '::') return `http://[::1]:${port}`
  return host.includes(':') ? `http://[${host}]:${port}` : `http://${host}:${port}`
}
