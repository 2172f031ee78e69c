/** BentoML as plain HTTP: forwarded by default, kept where a route says for how long. */
import { join } from 'node:path'
import { answers, ask } from '../../suite/ask.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { refusedAsProblem, tryKilled } from '../../suite/killed.ts'
import { freePorts } from '../../suite/processes.ts'
import type { System } from '../../suite/session.ts'
import { BENTOML } from '../environments.ts'
import { tryScript } from '../sides.ts'

// BentoML gives every answer an id.
const INVENTED = { fields: ['x-bentoml-request-id'] }

const call = (path: string, body: unknown) => ({ path, ...json(body) })

const ROWS = {
  x: [
    [1, 2, 3, 4],
    [4, 3, 2, 1],
  ],
}

const CALLS: readonly Exchange[] = [
  { name: 'rows', again: 'forwarded', ...call('/score', ROWS) },
  { name: 'text', again: 'forwarded', ...call('/greet', { name: '日本', times: 2 }) },
  { name: 'an argument that is missing', again: 'forwarded', ...call('/greet', {}) },
  { name: 'an error of the service', again: 'forwarded', ...call('/fail', { name: 'nobody' }) },
  { name: 'no JSON', again: 'forwarded', ...call('/greet', '{"name":') },
  { name: 'a path that is not there', again: 'forwarded', ...call('/absent', {}) },
  ...['/docs.json', '/livez', '/readyz', '/schema.json'].map((path) => ({
    name: `GET ${path}`,
    again: 'forwarded' as const,
    path,
  })),
]

export const bentoml: System = {
  name: 'bentoml',
  title: 'BentoML as plain HTTP',
  guide: 'servers/bentoml.md',
  async run(session) {
    const python = await session.python(BENTOML, ['bentoml', 'requests'])
    const [port] = await freePorts(1)
    const direct = `http://127.0.0.1:${port}`
    const server = await session.start(
      {
        name: 'BentoML',
        command: python.program('bentoml'),
        args: ['serve', 'service:Probe', '--host', '127.0.0.1', '--port', String(port)],
        cwd: import.meta.dirname,
        env: {
          PATH: `${join(python.command, '..')}:${process.env['PATH'] ?? ''}`,
          BENTOML_HOME: join(session.folder, 'home'),
          BENTOML_DO_NOT_TRACK: '1',
          PYTHONDONTWRITEBYTECODE: '1',
        },
        ready: async () =>
          (await answers(direct, '/readyz')) && (await ask(direct, call('/score', ROWS))).status === 200,
      },
      'bentoml serve service:Probe --port 3000',
    )
    const gateway = await session.gateway({ name: 'defaults', upstream: direct })
    const sides = { direct, gateways: [gateway], invented: INVENTED }
    await tryExchanges(session, { ...sides, group: 'calls', exchanges: CALLS })
    await tryScript(session, {
      sides,
      python,
      group: "BentoML's client",
      script: join(import.meta.dirname, 'client.py'),
    })
    const plan = [{ name: 'rows', method: 'POST', path: '/score', json: ROWS }]
    await tryScript(session, { sides, python, group: 'requests', script: 'plain_requests.py', plan })
    await tryKilled(session, {
      ...sides,
      server,
      gateway,
      fresh: (number) => call('/greet', { name: String(number) }),
      refused: refusedAsProblem,
    })
  },
}
