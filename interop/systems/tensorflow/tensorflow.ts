/** A SavedModel of TensorFlow behind KServe's own server, and behind TensorFlow Serving's protocols. */
import { join } from 'node:path'
import { answers } from '../../suite/ask.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { refusedWithError, tryKilled } from '../../suite/killed.ts'
import { freePorts, listens } from '../../suite/processes.ts'
import type { Python } from '../../suite/python.ts'
import { run } from '../../suite/run.ts'
import type { Session, System } from '../../suite/session.ts'
import { TENSORFLOW } from '../environments.ts'
import { KSERVE_DIFFERENCES, tryKserve } from '../kserve/kserve-server.ts'
import { defaultsAndRows, tryScript } from '../sides.ts'

const ENV = { OMP_NUM_THREADS: '1', TF_CPP_MIN_LOG_LEVEL: '2', CUDA_VISIBLE_DEVICES: '' }

const ROWS = [
  [5.1, 3.5, 1.4, 0.2],
  [6.7, 3.1, 5.6, 2.4],
]

const EXAMPLES = ROWS.map((x) => ({ x }))

const ask = (verb: string, body: unknown, model = 'net') => ({
  path: `/v1/models/${model}:${verb}`,
  ...json(body),
})

const PREDICTIONS: readonly Exchange[] = [
  { name: 'rows', again: 'hit', ...ask('predict', { instances: ROWS }) },
  { name: 'rows, by version', again: 'hit', ...ask('predict', { instances: ROWS }, 'net/versions/1') },
  { name: 'rows of named inputs', again: 'hit', ...ask('predict', { instances: EXAMPLES }) },
  {
    name: 'rows of two inputs',
    again: 'hit',
    ...ask('predict', {
      signature_name: 'pair',
      instances: [
        { a: 1, b: 2 },
        { a: 3, b: 4 },
      ],
    }),
  },
  { name: 'columns of one input', again: 'hit', ...ask('predict', { inputs: ROWS }) },
  { name: 'columns by name', again: 'hit', ...ask('predict', { inputs: { x: ROWS } }) },
  {
    name: 'columns of two inputs',
    again: 'hit',
    ...ask('predict', { signature_name: 'pair', inputs: { a: [1, 2, 3], b: [0.5, 0.25, 8] } }),
  },
  { name: 'classify', again: 'hit', ...ask('classify', { signature_name: 'classify', examples: EXAMPLES }) },
  { name: 'regress', again: 'hit', ...ask('regress', { signature_name: 'regress', examples: EXAMPLES }) },
]

const ERRORS: readonly Exchange[] = [
  { name: 'no such model', again: 'forwarded', ...ask('predict', { instances: ROWS }, 'absent') },
  { name: 'no such version', again: 'forwarded', ...ask('predict', { instances: ROWS }, 'net/versions/9') },
  {
    name: 'no such signature',
    again: 'forwarded',
    ...ask('predict', { signature_name: 'absent', instances: ROWS }),
  },
  { name: 'neither rows nor columns', again: 'forwarded', ...ask('predict', { rows: ROWS }) },
  { name: 'rows of the wrong width', again: 'forwarded', ...ask('predict', { instances: [[1, 2]] }) },
  { name: 'no JSON', again: 'forwarded', ...ask('predict', '{"instances":') },
]

const METADATA: readonly Exchange[] = [
  '/v1/models/net',
  '/v1/models/net/versions/1',
  '/v1/models/net/metadata',
  '/v1/models/absent',
].map((path) => ({ name: path, again: 'forwarded', path }))

const PLAN = [
  { name: 'rows', method: 'POST', path: '/v1/models/net:predict', json: { instances: ROWS }, cached: 1 },
  { name: 'columns', method: 'POST', path: '/v1/models/net:predict', json: { inputs: ROWS }, cached: 1 },
  { name: 'no such model', method: 'POST', path: '/v1/models/absent:predict', json: { instances: ROWS } },
]

export const tensorflow: System = {
  name: 'tensorflow',
  title:
    "A SavedModel of TensorFlow behind KServe's own server, and behind TensorFlow Serving's protocols, REST and gRPC (served by scripts of ours)",
  guide: 'servers/tensorflow.md',
  differences: KSERVE_DIFFERENCES,
  async run(session) {
    const python = await session.python(TENSORFLOW, [
      'tensorflow-cpu',
      'tensorflow-serving-api',
      'kserve',
      'requests',
    ])
    const model = join(session.folder, 'net')
    session.say('saving a model')
    const script = join(import.meta.dirname, 'saved_model.py')
    await run(python.command, [script, model], { timeoutMs: 180_000, env: ENV })
    const shown = 'python interop/systems/kserve/server.py 8080 8081 SAVED_MODEL'
    // Both parts start Python with TensorFlow several times, which takes longer than all that is asked.
    await session.together(
      async (part) => {
        await tryRest(part, python, model)
        await tryGrpc(part, python, model)
      },
      (part) => tryKserve(part, { python, network: model, shown }),
    )
  },
}

async function tryRest(session: Session, python: Python, model: string): Promise<void> {
  const [port] = await freePorts(1)
  const direct = `http://127.0.0.1:${port}`
  const server = await session.start(
    {
      name: 'TensorFlow over REST',
      command: python.command,
      args: [join(import.meta.dirname, 'rest_server.py'), String(port), model],
      env: ENV,
      ready: () => answers(direct, '/v1/models/net'),
    },
    'python interop/systems/tensorflow/rest_server.py 8501 SAVED_MODEL',
  )
  const [defaults, rows] = await defaultsAndRows(session, direct, 'rest-')
  const sides = { direct, gateways: [defaults, rows] }
  await tryExchanges(session, { ...sides, group: 'REST', exchanges: PREDICTIONS })
  await tryExchanges(session, { ...sides, group: 'REST, errors', exchanges: ERRORS })
  await tryExchanges(session, { ...sides, group: 'REST, metadata', exchanges: METADATA })
  await tryScript(session, { sides, python, group: 'requests', script: 'plain_requests.py', plan: PLAN })
  await tryKilled(session, {
    direct,
    server,
    gateway: defaults,
    kept: ask('predict', { instances: ROWS }),
    fresh: (number) => ask('predict', { instances: [[number, 1, 2, 3]] }),
    refused: refusedWithError,
  })
}

async function tryGrpc(session: Session, python: Python, model: string): Promise<void> {
  const [port] = await freePorts(1)
  const direct = `http://127.0.0.1:${port}`
  await session.start(
    {
      name: 'TensorFlow over gRPC',
      command: python.command,
      args: [join(import.meta.dirname, 'grpc_server.py'), String(port), model],
      env: ENV,
      ready: () => listens(port as number),
    },
    'python interop/systems/tensorflow/grpc_server.py 8500 SAVED_MODEL',
  )
  const start = (name: string, rows: 'never' | 'always') =>
    session.gateway({
      name,
      upstream: direct,
      settings: {
        pools: { upstream: { backends: [{ grpc: direct }] } },
        routes: [{ name: 'all', pool: 'upstream', cache: { rows } }],
      },
    })
  await tryScript(session, {
    sides: { direct, gateways: [await start('grpc', 'never'), await start('grpc-rows', 'always')] },
    python,
    group: 'tensorflow-serving-api, grpcio',
    script: join(import.meta.dirname, 'serving_grpc.py'),
    recorded: true,
    // Each run would warn on its own, with times in it.
    env: { ...ENV, TF_CPP_MIN_LOG_LEVEL: '3', TF_ENABLE_ONEDNN_OPTS: '0' },
  })
}
