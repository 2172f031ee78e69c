/** A call that is late is sent once more, elsewhere; and how much time it has goes along. */
import { afterAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { instances, PREDICT, settings, TWO } from '../support/settings.ts'

const cleanup: (() => unknown)[] = []
afterAll(async () => {
  for (const clean of cleanup.toReversed()) await clean()
})

/** Answers at once; and once told to hang, never, but sees who leaves. */
async function hanging(): Promise<{
  backend: ScriptedBackend
  hang: () => void
  readonly cut: () => number
}> {
  let hangs = false
  let cut = 0
  const backend = await startBackend((_, response) => {
    if (hangs) response.once('close', () => cut++)
    else response.setHeader('content-type', 'application/json').end('{"predictions":[1]}')
  })
  cleanup.push(() => backend.close())
  return { backend, hang: () => (hangs = true), cut: () => cut }
}

it('a late prediction is answered by another backend, and the late one is cut', async () => {
  const [first, second] = await Promise.all([hanging(), hanging()])
  const gateway = await startGateway({
    yaml: settings({ backends: [first.backend, second.backend], server: TWO }),
  })
  await gateway.ready('main', 2)
  // Nobody knows what is late before a hundred answers, and a while.
  const began = performance.now()
  for (let n = 0; n < 120 || performance.now() - began < 1_000; n += 8)
    await Promise.all(Array.from({ length: 8 }, (_, i) => gateway.post(PREDICT, instances(n + i))))
  first.hang()
  // On a busy machine the calls before were late enough to have used up what may be sent twice: calls earn that again.
  let n = -1
  const won = () => gateway.metric('infergate_hedges_total', { outcome: 'won' })
  for (const before = await won(); (await won()) === before && n > -300; n--) {
    const { status } = await gateway.post(PREDICT, instances(n), { 'x-request-deadline-ms': '300' })
    expect([200, 504]).toContain(status)
  }
  expect(n).toBeGreaterThan(-300)
  await eventually(() => expect(first.cut()).toBeGreaterThan(0))

  // Now the late one fails in the end, and the other asks to be left alone: that one is, and not the late one.
  const busy: string[] = []
  let asked = 0
  for (const { backend } of [first, second])
    backend.script = (_, response) => {
      if (asked++ === 0) return void setTimeout(() => response.destroy(), 1_000)
      busy.push(backend.url)
      response.writeHead(503, { 'retry-after': '60' }).end('{}')
    }
  expect(await gateway.post(PREDICT, instances(-1_000))).toMatchObject({ status: 503 })
  const { backends } = (await gateway.ask('/api/v1/pools/main')).json as {
    backends: { url: string; effective: { state: string } }[]
  }
  const paused = backends.filter(({ effective }) => effective.state === 'paused')
  expect(paused.map(({ url }) => url)).toEqual(busy.slice(0, 1))
  await gateway.stop()
})

it('what is left of a deadline, and of the wish for a first token, goes to the backend', async () => {
  const { backend } = await hanging()
  const gateway = await startGateway({ yaml: settings({ backends: [backend] }) })
  await gateway.ready('main')
  const asked = { 'x-request-deadline-ms': '5000', 'grpc-timeout': '4S', 'x-slo-ttft-ms': '900' }
  await gateway.post(PREDICT, instances(1), asked)
  const told = backend.asked.at(-1)?.headers ?? {}
  const deadline = Number(told['x-request-deadline-ms'])
  expect(deadline).toBeGreaterThan(0)
  expect(deadline).toBeLessThan(5_000)
  expect(told['grpc-timeout']).toBe(`${deadline}m`)
  expect(Number(told['x-slo-ttft-ms'])).toBeGreaterThan(0)
  expect(Number(told['x-slo-ttft-ms'])).toBeLessThan(900)
  await gateway.stop()
})
