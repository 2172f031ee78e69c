/** Ray Serve as plain HTTP, with a header field that chooses the model. */
import { join } from 'node:path'
import { ask } from '../../suite/ask.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { refusedAsProblem, tryKilled } from '../../suite/killed.ts'
import { freePorts } from '../../suite/processes.ts'
import type { System } from '../../suite/session.ts'
import { RAY } from '../environments.ts'
import { tryScript } from '../sides.ts'

// Ray gives every answer an id.
const INVENTED = { fields: ['x-request-id'] }

const MODEL = 'serve_multiplexed_model_id'

const call = (path: string, body: unknown) => ({ path, ...json(body) })

function ofModel(model: string): Exchange {
  const { fields, ...asked } = call('/score', { instances: [1, 2] })
  return { name: `model ${model}`, again: 'forwarded', ...asked, fields: { ...fields, [MODEL]: model } }
}

const CALLS: readonly Exchange[] = [
  { name: 'rows', again: 'forwarded', ...call('/score', { instances: [1, 2, 3] }) },
  ofModel('one'),
  ofModel('ten'),
  { name: 'a stream', again: 'forwarded', path: '/stream' },
  { name: 'an error of the application', again: 'forwarded', ...call('/score', {}) },
  { name: 'GET /-/healthz', again: 'forwarded', path: '/-/healthz' },
  { name: 'GET /-/routes', again: 'forwarded', path: '/-/routes' },
]

export const ray: System = {
  name: 'ray',
  title: 'Ray Serve as plain HTTP',
  guide: 'servers/ray.md',
  async run(session) {
    const python = await session.python(RAY, ['ray', 'requests'])
    const [port] = await freePorts(1)
    const direct = `http://127.0.0.1:${port}`
    const server = await session.start(
      {
        name: 'Ray Serve',
        command: python.command,
        args: [join(import.meta.dirname, 'app.py'), String(port)],
        env: { RAY_USAGE_STATS_ENABLED: '0' },
        ready: async () => (await ask(direct, call('/score', { instances: [1] }))).status === 200,
        deadlineMs: 240_000,
      },
      'python interop/systems/ray/app.py 8000',
    )
    const gateway = await session.gateway({ name: 'defaults', upstream: direct })
    const sides = { direct, gateways: [gateway], invented: INVENTED }
    await tryExchanges(session, { ...sides, group: 'calls', exchanges: CALLS })
    const plan = [{ name: 'rows', method: 'POST', path: '/score', json: { instances: [1, 2] } }]
    await tryScript(session, { sides, python, group: 'requests', script: 'plain_requests.py', plan })
    await tryKilled(session, {
      ...sides,
      server,
      gateway,
      fresh: (number) => call('/score', { instances: [number] }),
      refused: refusedAsProblem,
    })
  },
}
