/**
 * D1 over any sequence of failures: each call is answered once, with what the last backend that was asked said; and it
 * is sent again only where that harms nobody.
 */
import { request } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
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
