/** What is left of a hot thousand in a small cache after a flood of bodies that are asked for once. */
import { instant } from '../backends.ts'
import { createCallers, freshBody } from '../callers.ts'
import { SERVER_CORE } from '../process.ts'
import type { Measure, Scenario } from '../scenario.ts'
import { startServer } from '../servers.ts'
import type { Measurement, Opened, Terms } from '../subject.ts'
import { type Load, load, loadScript } from '../wrk.ts'

const HOT = 1000
const ASKED = 3
const AT_ONCE = 8
// An answer of 300 bytes takes at least that: twice as many flow through as there is room for.
const BODIES_PER_MIB = 7000
const MOST_FLOODS = 15

/** Bodies that nobody asks for again, until there were enough of them. */
async function flood(run: Load, wanted: number): Promise<{ scanned: number; errors: number }> {
  const sum = { scanned: 0, errors: 0 }
  for (let i = 0; i < MOST_FLOODS && sum.scanned < wanted; i++) {
    const { requests, errors } = await load(run)
    sum.scanned += requests
    sum.errors += errors
  }
  if (sum.scanned < wanted) throw new Error(`only ${sum.scanned} of ${wanted} bodies in ${MOST_FLOODS} s`)
  return sum
}

export async function openScan(
  { name }: Scenario,
  { cacheMiB }: Extract<Measure, { kind: 'scan' }>,
  terms: Terms,
): Promise<Opened> {
  const backend = await instant(terms.folder)
  const script = loadScript(terms.folder, name, { kind: 'unique', bytes: 200 })
  return async (side) => {
    const place = {
      folder: terms.folder,
      backendPort: backend.port,
      cores: String(SERVER_CORE),
      bodyBytes: 1000,
    }
    const server = await startServer(side.server, { ...place, cacheMiB, rows: 'auto', nodeArgs: [] })
    const callers = createCallers(AT_ONCE)
    const askAll = async (bodies: readonly string[]) => {
      const queue = [...bodies]
      const caller = async () => {
        for (let body = queue.pop(); body !== undefined; body = queue.pop())
          await callers.call(server.url, body)
      }
      await Promise.all(Array.from({ length: AT_ONCE }, caller))
    }
    const round = async (): Promise<Measurement> => {
      const hot = Array.from({ length: HOT }, freshBody)
      for (let i = 0; i < ASKED; i++) await askAll(hot)
      const scan = await flood(
        { script, url: server.url, connections: 64, seconds: 1 },
        cacheMiB * BODIES_PER_MIB,
      )
      const before = (await backend.counts()).requests
      await askAll(hot)
      // The counting is itself a request.
      const missed = (await backend.counts()).requests - before - 1
      const round = { hotLeft: HOT - missed, ...scan }
      return scan.errors > 0 ? { round, fault: `${scan.errors} errors` } : { round }
    }
    return { warm: () => askAll(Array.from({ length: HOT }, freshBody)), round }
  }
}
