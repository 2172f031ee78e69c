/**
 * Full TLS handshakes: `openssl s_time -new`, one after the other by each client. wrk would resume its sessions. The clients are
 * slower than the servers, so what counts is the processor time that a handshake takes of the server.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { instant } from '../backends.ts'
import { LOAD_CORE, TASKSET } from '../process.ts'
import type { Measure, Scenario } from '../scenario.ts'
import { startServer } from '../servers.ts'
import type { Measurement, Opened, Terms } from '../subject.ts'
import { placeFor } from './load.ts'

type HandshakesMeasure = Extract<Measure, { kind: 'handshakes' }>

/** Of the place a server is given; nothing is sent. */
const NO_LOAD = { kind: 'load', bodies: { kind: 'unique', bytes: 200 }, connections: 1 } as const

const execute = promisify(execFile)

export async function openHandshakes(
  scenario: Scenario,
  { clients }: HandshakesMeasure,
  terms: Terms,
): Promise<Opened> {
  const backend = await instant(terms.folder)
  let opened = 0
  return async (side) => {
    const folder = `${terms.folder}/${scenario.name}-${++opened}`
    const server = await startServer(side.server, placeFor(NO_LOAD, { folder, backendPort: backend.port }))
    const { host } = new URL(server.url)
    const [pinned] = server.processes
    const round = async (): Promise<Measurement> => {
      const before = pinned?.cpuMicros() ?? 0
      const counts = await Promise.all(Array.from({ length: clients }, () => handshakes(host, terms.seconds)))
      const all = counts.reduce((a, b) => a + b, 0)
      const cpu = (pinned?.cpuMicros() ?? 0) - before
      const perSecond = all / terms.seconds
      return {
        round: { perSecond, cpuMicros: cpu / Math.max(1, all), busy: cpu / terms.seconds / 1e6 },
        ...(all === 0 ? { fault: 'no handshake' } : {}),
      }
    }
    return { warm: async () => void (await round()), round }
  }
}

async function handshakes(host: string, seconds: number): Promise<number> {
  const args = ['s_time', '-connect', host, '-new', '-time', String(Math.round(seconds))]
  const { stdout } = await execute(TASKSET, ['-c', String(LOAD_CORE), 'openssl', ...args], {
    timeout: (seconds + 30) * 1000,
  })
  return parseHandshakes(stdout)
}

/** `1234 connections in 0.98s; …`: how many there were. */
export function parseHandshakes(text: string): number {
  const count = /^(\d+) connections in [\d.]+s;/m.exec(text)?.[1]
  if (count === undefined) throw new Error(`openssl gave no result:\n${text.slice(-2000)}`)
  return Number(count)
}
