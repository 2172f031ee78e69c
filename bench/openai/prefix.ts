/** Calls with shared system prompts, at random times, to a router before four servers with prefix caches. */
import { createHash } from 'node:crypto'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '../../src/lib/seeded-random.ts'
import { freePort, LOAD_CORE, listening, start } from '../lib/process.ts'
import { constant, poisson } from '../sim/arrivals.ts'
import { promptsOf, WORLD } from '../sim/prefix/run.ts'
import { BLOCK_CHARS, type PrefixCounts } from './prefix-backends.ts'
import type { Side } from './scenarios.ts'
import { started, type Terms, type Turn } from './sides.ts'

const PER_SECOND = 75

export async function openPrefix({ server: name }: Side, terms: Terms): Promise<Turn> {
  const ports = await Promise.all(Array.from({ length: WORLD.servers }, freePort))
  const args = [join(import.meta.dirname, 'prefix-backends.ts'), ...ports.map(String)]
  const backends = start({ core: LOAD_CORE, command: process.execPath, args })
  await Promise.all(ports.map((port) => listening(port, backends)))
  const { port } = await started(name, ports, terms, 'prefix')
  let turns = 0
  return async (seconds) => {
    const before = await countsOf(ports)
    await calls(port, seconds, ++turns)
    const after = await countsOf(ports)
    const more = (figure: keyof PrefixCounts) => after[figure] - before[figure]
    return {
      requests: PER_SECOND * seconds,
      hitShare: more('hits') / more('asked'),
      imbalance: more('excess') / more('looks'),
    }
  }
}

async function countsOf([port]: readonly number[]): Promise<PrefixCounts> {
  return (await fetch(`http://127.0.0.1:${port}/counts`)).json() as Promise<PrefixCounts>
}

/** The same calls for every side, in each of its turns others. */
async function calls(port: number, seconds: number, turn: number): Promise<void> {
  const next = promptsOf({ ...WORLD, seed: turn })
  const arrivals = poisson(constant(PER_SECOND), PER_SECOND, createRandom(turn, 'arrivals'))
  const agent = new Agent({ keepAlive: true })
  const began = performance.now()
  const running: Promise<void>[] = []
  for (let at = arrivals(0); at < seconds * 1000; at = arrivals(at)) {
    await sleep(Math.max(0, began + at - performance.now()))
    running.push(ask(agent, port, next().blocks))
  }
  await Promise.all(running)
  agent.destroy()
}

function ask(agent: Agent, port: number, blocks: readonly string[]): Promise<void> {
  const [system, rest] = [blocks.slice(0, 16), blocks.slice(16)]
  const said = (part: readonly string[]) => part.map(textOf).join('')
  const messages = [
    { role: 'system', content: said(system) },
    { role: 'user', content: said(rest) },
  ]
  const body = JSON.stringify({ model: 'm', temperature: 1, messages })
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const path = '/v1/chat/completions'
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  request({ agent, host: '127.0.0.1', port, path, method: 'POST', headers }, (response) => {
    response.resume().on('error', reject)
    response.on('end', () =>
      response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`)),
    )
  })
    .on('error', reject)
    .end(body)
  return promise
}

/** The text of a block, by its name. */
function textOf(name: string): string {
  return createHash('sha256')
    .update(name)
    .digest('hex')
    .repeat(BLOCK_CHARS / 64)
}
