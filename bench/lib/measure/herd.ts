/** Many equal calls at once for an answer nobody has yet: how often the backend is asked, and when the last has it. */
import { slow } from '../backends.ts'
import { createCallers, freshBody } from '../callers.ts'
import { SERVER_CORE } from '../process.ts'
import type { Measure } from '../scenario.ts'
import { startServer } from '../servers.ts'
import { median } from '../stats.ts'
import type { Measurement, Opened, Terms } from '../subject.ts'

const HERDS = 5

export async function openHerd(
  { callers, msPerRow }: Extract<Measure, { kind: 'herd' }>,
  terms: Terms,
): Promise<Opened> {
  const backend = await slow(msPerRow)
  return async ({ server: name }) => {
    const place = {
      folder: terms.folder,
      backendPort: backend.port,
      cores: String(SERVER_CORE),
      bodyBytes: 1000,
    }
    const server = await startServer(name, { ...place, cacheMiB: 64, rows: 'auto', nodeArgs: [] })
    const crowd = createCallers(callers)
    /** Milliseconds until the last of them had its answer, and how many had none. */
    const herd = async () => {
      const body = freshBody()
      const calls = await Promise.allSettled(
        Array.from({ length: callers }, () => crowd.call(server.url, body)),
      )
      const times = calls.flatMap((call) => (call.status === 'fulfilled' ? [call.value] : []))
      return { last: Math.max(...times), errors: callers - times.length }
    }
    const round = async (): Promise<Measurement> => {
      const before = (await backend.counts()).requests
      const herds: { last: number; errors: number }[] = []
      for (let i = 0; i < HERDS; i++) herds.push(await herd())
      const errors = herds.reduce((sum, { errors }) => sum + errors, 0)
      const upstreamPerHerd = ((await backend.counts()).requests - before) / HERDS
      const round = { upstreamPerHerd, lastMs: median(herds.map(({ last }) => last)), errors }
      return errors > 0 ? { round, fault: `${errors} errors` } : { round }
    }
    return { warm: async () => void (await herd()), round }
  }
}
