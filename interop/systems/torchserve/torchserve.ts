/** TorchServe with a PyTorch network: JSON, raw bytes, pictures and forms; its management API; streams; its own errors. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Ask, ask } from '../../suite/ask.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { findJava } from '../../suite/java.ts'
import { refusedAsTorchserve, tryKilled } from '../../suite/killed.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Python } from '../../suite/python.ts'
import { run } from '../../suite/run.ts'
import type { Server, Session, System } from '../../suite/session.ts'
import { TORCHSERVE } from '../environments.ts'
import { tryScript } from '../sides.ts'
import { png } from './png.ts'

// TorchServe gives every answer an id.
const INVENTED = { fields: ['x-request-id'] }

const ROWS = {
  instances: [
    [1, 2, 3, 4],
    [4, 3, 2, 1],
  ],
}

const predict = (body: Pick<Ask, 'fields' | 'body'>, path = '/predictions/net') => ({ path, ...body })

const bytes = (type: string, body: Uint8Array) => ({ fields: { 'content-type': type }, body })

const floats = Buffer.from(Float32Array.of(0.5, 1, 2, 3).buffer)

const PREDICTIONS: readonly Exchange[] = [
  { name: 'JSON', again: 'hit', ...predict(json(ROWS)) },
  { name: 'JSON, spelled otherwise', again: 'hit', ...predict(json(JSON.stringify(ROWS, null, 1))) },
  { name: 'by version', again: 'hit', ...predict(json(ROWS), '/predictions/net/1.0') },
  { name: 'an answer of bytes', again: 'hit', ...predict(json({ ...ROWS, raw: true })) },
  { name: 'raw floats', again: 'hit', ...predict(bytes('application/octet-stream', floats)) },
  { name: 'a red picture', again: 'hit', ...predict(bytes('image/png', png(255, 0, 0))) },
  { name: 'a green picture', again: 'hit', ...predict(bytes('image/png', png(0, 255, 0))) },
  { name: 'a form', again: 'hit', ...predict(form('one', png(255, 0, 0))) },
  { name: 'the same form with another boundary', again: 'hit', ...predict(form('two', png(255, 0, 0))) },
  { name: 'KServe V1 path', again: 'forwarded', ...predict(json(ROWS), '/v1/models/net:predict') },
  { name: 'a stream', again: 'forwarded', ...predict(json({ pieces: true })) },
]

const ERRORS: readonly Exchange[] = [
  { name: 'a model that is not there', again: 'forwarded', ...predict(json(ROWS), '/predictions/absent') },
  { name: 'a version that is not there', again: 'forwarded', ...predict(json(ROWS), '/predictions/net/9.9') },
  { name: 'an error of the model', again: 'forwarded', ...predict(json({ fail: true })) },
  { name: 'no JSON', again: 'forwarded', ...predict(json('{"instances":')) },
  { name: 'a path that is not there', again: 'forwarded', path: '/absent' },
]

const INFERENCE_API: readonly Exchange[] = [
  { name: 'GET /ping', again: 'forwarded', path: '/ping' },
  { name: 'OPTIONS /', again: 'forwarded', method: 'OPTIONS', path: '/' },
  { name: 'GET /api-description', again: 'forwarded', path: '/api-description' },
]

const MANAGEMENT_API: readonly Exchange[] = ['/models', '/models/net/all', '/models/absent'].map((path) => ({
  name: `GET ${path}`,
  again: 'forwarded',
  path,
}))

export const torchserve: System = {
  name: 'torchserve',
  title: 'TorchServe, a PyTorch network',
  guide: 'servers/torchserve.md',
  async run(session) {
    const python = await session.python(TORCHSERVE, ['torchserve', 'torch', 'requests'])
    const { server, direct, management } = await startTorchserve(session, python)
    const gateway = await session.gateway({
      name: 'torchserve',
      upstream: direct,
      settings: settings(direct),
    })
    const defaults = await session.gateway({ name: 'defaults', upstream: direct })
    const sides = { direct, gateways: [gateway], invented: INVENTED }
    await tryExchanges(session, { ...sides, group: 'predictions', exchanges: PREDICTIONS })
    const unread = PREDICTIONS.map((one) => ({ ...one, again: 'forwarded' as const }))
    await tryExchanges(session, {
      ...sides,
      gateways: [defaults],
      group: 'predictions, with no `vary` written',
      exchanges: unread,
    })
    await tryExchanges(session, {
      ...sides,
      group: 'a header field that the model reads',
      exchanges: ['red', 'green'].map(ofTenant),
    })
    await tryExchanges(session, { ...sides, group: 'errors', exchanges: ERRORS })
    await tryExchanges(session, { ...sides, group: 'inference API', exchanges: INFERENCE_API })
    const manager = await session.gateway({ name: 'management', upstream: management })
    await tryExchanges(session, {
      direct: management,
      gateways: [manager],
      group: 'management API',
      exchanges: MANAGEMENT_API,
      invented: { fields: ['x-request-id'], members: ['memoryUsage'] },
    })
    await tryScript(session, { sides, python, group: 'requests', script: 'plain_requests.py', plan: PLAN })
    await tryKilled(session, {
      ...sides,
      server,
      gateway,
      kept: predict(json(ROWS)),
      fresh: (number) => predict(json({ instances: [[number, 1, 2, 3]] })),
      refused: refusedAsTorchserve,
    })
  },
}

const PLAN = [
  { name: 'JSON', method: 'POST', path: '/predictions/net', json: ROWS, cached: 1 },
  { name: 'a model that is not there', method: 'POST', path: '/predictions/absent', json: ROWS },
  { name: 'ping', method: 'GET', path: '/ping' },
]

function ofTenant(tenant: string): Exchange {
  const { fields, body } = json(ROWS)
  return {
    name: `tenant ${tenant}`,
    again: 'hit',
    ...predict({ body: body ?? '', fields: { ...fields, 'x-tenant': tenant } }),
  }
}

function form(boundary: string, picture: Uint8Array): Pick<Ask, 'fields' | 'body'> {
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="data"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n`
  const body = Buffer.concat([Buffer.from(head), picture, Buffer.from(`\r\n--${boundary}--\r\n`)])
  return { fields: { 'content-type': `multipart/form-data; boundary=${boundary}` }, body }
}

const settings = (url: string) => ({
  pools: { upstream: { backends: [{ url }], health: { path: '/ping' } } },
  routes: [
    { name: 'predictions', pool: 'upstream', protocol: 'torchserve' as const, cache: { vary: ['x-tenant'] } },
    { name: 'rest', pool: 'upstream', protocol: 'opaque' as const },
  ],
})

interface Torchserve {
  readonly server: Server
  readonly direct: string
  readonly management: string
}

async function startTorchserve(session: Session, python: Python): Promise<Torchserve> {
  const { env } = await findJava(session)
  const [inference, manager, metrics, grpc, grpcManager] = await freePorts(5)
  const store = join(session.folder, 'store')
  mkdirSync(store)
  const archive = [
    '--model-name',
    'net',
    '--version',
    '1.0',
    '--handler',
    join(import.meta.dirname, 'handler.py'),
  ]
  await run(python.program('torch-model-archiver'), [...archive, '--export-path', store], {
    timeoutMs: 60_000,
  })
  const [direct, management] = [`http://127.0.0.1:${inference}`, `http://127.0.0.1:${manager}`]
  const config = join(session.folder, 'config.properties')
  const properties = [
    `inference_address=${direct}`,
    `management_address=${management}`,
    `metrics_address=http://127.0.0.1:${metrics}`,
    `grpc_inference_port=${grpc}`,
    `grpc_management_port=${grpcManager}`,
    'default_workers_per_model=1',
    'number_of_netty_threads=2',
  ]
  writeFileSync(config, properties.join('\n'))
  const flags = ['--start', '--ncs', '--foreground', '--disable-token-auth', '--enable-model-api']
  const server = await session.start(
    {
      name: 'TorchServe',
      command: python.program('torchserve'),
      args: [...flags, '--model-store', store, '--models', 'net=net.mar', '--ts-config', config],
      cwd: session.folder,
      // TorchServe keeps the id of its process in TMPDIR, and refuses to start where it finds one.
      env: {
        ...env,
        PATH: `${join(python.command, '..')}:${env['PATH'] ?? process.env['PATH'] ?? ''}`,
        TMPDIR: session.folder,
      },
      ready: async () => (await ask(direct, predict(json(ROWS)))).status === 200,
    },
    `torchserve ${flags.join(' ')} --model-store store --models net=net.mar`,
  )
  return { server, direct, management }
}
