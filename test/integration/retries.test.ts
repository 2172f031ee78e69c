/**
 * D1 over any sequence of failures: each call is answered once, with what the last backend that was asked said; and it
 * is sent again only where that harms nobody.
 */
import { request } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type ScriptedBackend, startBackend } from '../support/backend.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { settings } from '../support/settings.ts'

const behaviour = fc.constantFrom(
  'ok' as const,
  '500' as const,
  '503' as const,
  'cut' as const,
  'break' as const,
)
type Behaviour = typeof behaviour extends fc.Arbitrary<infer T> ? T : never

/** For each call what its attempts meet with, and how many there were. */
const plans = new Map<number, { readonly plan: readonly Behaviour[]; attempts: number }>()

const script: Script = ({ body }, response) => {
  const [id] = (JSON.parse(body.toString()) as { instances: number[] }).instances as [number]
  const call = plans.get(id)
  if (!call) throw new Error(`nobody asked ${id}`)
  const does = call.plan[call.attempts % call.plan.length]
  const text = JSON.stringify({ predictions: [`${id} at attempt ${++call.attempts}`] })
  if (does === 'cut') return void response.destroy()
  response.writeHead(does === '500' || does === '503' ? Number(does) : 200, {
    'content-type': 'application/json',
    'content-length': text.length,
  })
  if (does !== 'break') return void response.end(text)
  response.write(text.slice(0, 5), () => response.destroy())
}

let backends: ScriptedBackend[]
let gateway: RunningGateway
beforeAll(async () => {
  backends = await Promise.all([startBackend(script), startBackend(script)])
  const pool = { health: { path: 'off' }, outlier: { consecutive: 100_000, panicPercent: 100 } } as const
  const base = settings({ backends, tiers: [], pool })
  gateway = await startGateway({
    yaml: {
      ...base,
      routes: [
        { name: 'pure', match: { path: '/v1/*' }, pool: 'main', cache: { rows: 'never' } },
        { name: 'impure', match: { path: '/impure/*' }, pool: 'main', protocol: 'opaque' },
      ],
    },
  })
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all((backends ?? []).map((one) => one.close()))
})

/** Status and text of a whole answer, or undefined for one that broke off. */
function post(path: string, body: string): Promise<{ status: number; text: string } | undefined> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length }
    const sent = request({ port: gateway.port, path, method: 'POST', headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => (text += part))
      response.on('error', () => resolve(undefined))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    sent.on('error', () => resolve(undefined))
    sent.end(body)
  })
}

let ids = 0
it('D1: a call is answered once, by the last who was asked, and only a pure one is sent again', async () => {
  const one = fc.record({ isPure: fc.boolean(), plan: fc.array(behaviour, { minLength: 1, maxLength: 4 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 8 }), async (calls) => {
      await Promise.all(
        calls.map(async ({ isPure, plan }) => {
          const id = ids++
          plans.set(id, { plan, attempts: 0 })
          const path = isPure ? '/v1/models/m:predict' : '/impure/orders'
          const answer = await post(path, JSON.stringify({ instances: [id] }))
          const { attempts } = plans.get(id) as { attempts: number }
          expect(attempts).toBeGreaterThan(0)
          expect(attempts).toBeLessThanOrEqual(isPure ? 3 : 1)
          const met = Array.from({ length: attempts }, (_, i) => plan[i % plan.length])
          // What was good was the last that was asked for.
          expect(met.slice(0, -1)).not.toContain('ok')
          const last = met.at(-1)
          if (last === 'ok' || last === '500' || last === '503') {
            const text = JSON.stringify({ predictions: [`${id} at attempt ${attempts}`] })
            expect(answer).toEqual({ status: last === 'ok' ? 200 : Number(last), text })
          } else if (last === 'cut') expect(answer?.status).toBe(502)
          else expect(answer === undefined || answer.status === 502).toBe(true)
        }),
      )
    }),
    { numRuns: 25 },
  )
})

describe('a budget under 24 callers who wait for their answers', () => {
  /** What each of four does now: milliseconds to its answer, and the status; undefined: the connection is cut. */
  type Mood = { readonly ms: number; readonly status: number } | undefined
  const WELL: Mood = { ms: 5, status: 200 }
  const SICK: Mood = { ms: 60, status: 500 }
  const moods: Mood[] = []
  let arrived = 0

  /** So many calls; the status of each. */
  async function calls(url: (path: string) => string, count: number): Promise<number[]> {
    const statuses: number[] = []
    let begun = 0
    const caller = async () => {
      while (begun++ < count) {
        const answer = await fetch(url('/v1/models/m:predict'), {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ instances: [ids++] }),
        })
        await answer.arrayBuffer()
        statuses.push(answer.status)
      }
    }
    await Promise.all(Array.from({ length: 24 }, caller))
    return statuses
  }

  it('adds a quarter at most while all fail, and loses nothing to one that stays dead when the others are back', async () => {
    const four = await Promise.all(
      [0, 1, 2, 3].map((at) =>
        startBackend((_, response) => {
          arrived++
          const mood = moods[at]
          if (!mood) return void response.destroy()
          setTimeout(() => {
            const text = mood.status === 200 ? '{"predictions":[1]}' : '{"error":"sick"}'
            response.writeHead(mood.status, { 'content-type': 'application/json' }).end(text)
          }, mood.ms)
        }),
      ),
    )
    const running = await startGateway({
      yaml: settings({ backends: four, tiers: [], pool: { health: { path: 'off' } } }),
    })
    const url = (path: string) => `http://127.0.0.1:${running.port}${path}`
    try {
      moods.splice(0, 4, WELL, WELL, WELL, WELL)
      expect(await calls(url, 500)).not.toContain(500)
      moods.splice(0, 4, SICK, SICK, SICK, SICK)
      await calls(url, 24)
      arrived = 0
      expect(await calls(url, 360)).not.toContain(200)
      expect(arrived).toBeLessThanOrEqual(1.25 * 360)
      moods.splice(0, 4, WELL, WELL, WELL, undefined)
      await calls(url, 300)
      expect(new Set(await calls(url, 500))).toEqual(new Set([200]))
    } finally {
      await running.stop()
      await Promise.all(four.map((one) => one.close()))
    }
  })
})
