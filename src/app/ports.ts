/** The listeners: whether the data port can be had, and shared between threads, before any thread tries; and their URLs. */

import { createServer, type ListenOptions } from 'node:net'
import { availableParallelism } from 'node:os'
import type { Settings } from '../config/schema.ts'
import type { HostPort } from '../core/addresses.ts'
import type { Log } from '../core/log.ts'

/** More threads than this gain little before one memory and one log; whoever knows better writes a number. */
const MAX_AUTO = 8

/** How many data workers there are to be: one where there is one processor, and where threads cannot share a port. */
export async function workerCount({ server }: Settings, log: Log): Promise<number> {
  const { workers } = server
  const count = workers === 'auto' ? Math.min(MAX_AUTO, availableParallelism()) : workers
  if (count === 1) return 1
  const problem = await tried({ host: server.listen.host, port: 0, reusePort: true })
  if (problem?.code !== 'ENOTSUP' && problem?.code !== 'EINVAL') return count
  log.warn('workers.alone', { asked: count, error: problem.message })
  return 1
}

/** Rejects where somebody has the port: threads that share theirs would not notice, and share it with another gateway. */
export async function checkFree(at: HostPort): Promise<void> {
  const problem = at.port === 0 ? undefined : await tried({ ...at, exclusive: true })
  if (problem) throw problem
}

/** Why one cannot listen so; undefined: one can. */
function tried(options: ListenOptions): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', resolve)
    server.listen(options, () => server.close(() => resolve(undefined)))
  })
}

/** Where processes of this machine reach a listener. */
export function urlOf({ host, port }: HostPort): string {
  if (host === '0.0.0.0') return `http://127.0.0.1:${port}`
  if (host === '::') return `http://[::1]:${port}`
  return host.includes(':') ? `http://[${host}]:${port}` : `http://${host}:${port}`
}
