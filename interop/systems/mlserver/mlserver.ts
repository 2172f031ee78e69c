/** MLServer with scikit-learn and PyTorch, asked by plain HTTP, requests and tritonclient. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { answers } from '../../suite/ask.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { refusedWithError, tryKilled } from '../../suite/killed.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Python } from '../../suite/python.ts'
import { run } from '../../suite/run.ts'
import type { Server, Session, System } from '../../suite/session.ts'
import { MLSERVER } from '../environments.ts'
import { defaultsAndRows, tritonSample, tryScript } from '../sides.ts'
import { DATATYPES, everyDatatype, inferBinary, inferJson, sample, type Tensor } from '../v2.ts'

// MLServer gives every answer an id, in the body only where the request has none.
const INVENTED = { members: ['id'], fields: ['ce-id', 'ce-requestid'] }

export const mlserver: System = {
  name: 'mlserver',
  title: 'MLServer, models of scikit-learn and PyTorch',
  guide: 'servers/mlserver.md',
  async run(session) {
    const python = await session.python(MLSERVER, [
      'mlserver',
      'scikit-learn',
      'torch',
      'tritonclient',
      'requests',
    ])
    const { server, direct } = await startMlserver(session, python)
    const [defaults, rows] = await defaultsAndRows(session, direct)
    const sides = { direct, gateways: [defaults, rows], invented: INVENTED }
    await tryExchanges(session, {
      ...sides,
      group: 'JSON, every datatype',
      exchanges: everyDatatype((datatype) => inferJson('echo', [sample('x', datatype)])),
    })
    await tryExchanges(session, { ...sides, group: 'models', exchanges: MODELS })
    await tryExchanges(session, { ...sides, group: 'errors', exchanges: ERRORS })
    await tryExchanges(session, { ...sides, group: 'metadata', exchanges: METADATA })
    const models = DATATYPES.map((datatype) =>
      tritonSample(datatype, { model: 'echo', input: 'x', outputs: ['echo_x'], forms: ['json'] }),
    )
    await tryScript(session, {
      sides,
      python,
      group: 'tritonclient',
      script: 'triton_http.py',
      plan: { models },
    })
    await tryTenants(session, direct)
    await tryKilled(session, {
      ...sides,
      server,
      gateway: defaults,
      kept: inferJson('iris', [flowers(['1', '2', '3', '4'])]),
      fresh: (number) => inferJson('iris', [flowers([String(number), '2', '3', '4'])]),
      refused: refusedWithError,
    })
  },
}

const flowers = (data: readonly string[], shape = [data.length / 4, 4]): Tensor => ({
  name: 'x',
  datatype: 'FP32',
  shape,
  data,
})

const FLOWERS = flowers(['5.1', '3.5', '1.4', '0.2', '6.7', '3.1', '5.6', '2.4', '5.9', '3.0', '4.2', '1.5'])

const text = (...data: string[]): Tensor => ({
  name: 'text',
  datatype: 'BYTES',
  shape: [data.length],
  data: data.map((one) => JSON.stringify(one)),
  parameters: { content_type: 'str' },
})

const MODELS: readonly Exchange[] = [
  { name: 'scikit-learn, 3 rows', again: 'hit', ...inferJson('iris', [FLOWERS]) },
  { name: 'scikit-learn, by version', again: 'hit', ...inferJson('iris/versions/v1.0.0', [FLOWERS]) },
  {
    name: 'scikit-learn, probabilities',
    again: 'hit',
    ...inferJson('iris', [FLOWERS], { outputs: [{ name: 'predict_proba' }] }),
  },
  {
    name: 'scikit-learn, both outputs',
    again: 'hit',
    ...inferJson('iris', [FLOWERS], { outputs: [{ name: 'predict' }, { name: 'predict_proba' }] }),
  },
  { name: 'PyTorch, 3 rows', again: 'hit', ...inferJson('net', [FLOWERS]) },
  { name: 'with an id', again: 'hit', ...inferJson('iris', [FLOWERS], { id: 'ünï 7' }) },
  {
    name: 'texts that change their length',
    again: 'hit',
    ...inferJson('text', [text('straße', '日本', 'ﬁ')]),
  },
  {
    name: 'a parameter that is in the answer',
    again: 'hit',
    ...inferJson('echo', [sample('x', 'INT32')], { parameters: { k: 1 } }),
  },
  {
    name: 'the same parameter as a text',
    again: 'hit',
    ...inferJson('echo', [sample('x', 'INT32')], { parameters: { k: '1' } }),
  },
  {
    name: 'no rows',
    again: 'hit',
    ...inferJson('echo', [{ name: 'x', datatype: 'FP32', shape: [0, 4], data: [] }]),
  },
  { name: 'two inputs', again: 'hit', ...inferJson('echo', [sample('a', 'INT32'), sample('b', 'BYTES')]) },
  {
    name: 'two inputs in the other order',
    again: 'hit',
    ...inferJson('echo', [sample('b', 'BYTES'), sample('a', 'INT32')]),
  },
]

const ERRORS: readonly Exchange[] = [
  { name: 'a model that is not there', again: 'forwarded', ...inferJson('absent', [FLOWERS]) },
  {
    name: 'an output that is not there',
    again: 'forwarded',
    ...inferJson('iris', [FLOWERS], { outputs: [{ name: 'absent' }] }),
  },
  {
    name: 'rows of the wrong width',
    again: 'forwarded',
    ...inferJson('iris', [flowers(['1', '2', '3'], [1, 3])]),
  },
  {
    name: 'a request without data',
    again: 'forwarded',
    path: '/v2/models/iris/infer',
    ...json({ inputs: [{ name: 'x' }] }),
  },
  {
    name: 'binary tensors, which it does not take over HTTP',
    again: 'forwarded',
    ...inferBinary('echo', [sample('x', 'INT8')]),
  },
  { name: 'no JSON', again: 'forwarded', path: '/v2/models/iris/infer', ...json('{"inputs":') },
]

const METADATA: readonly Exchange[] = [
  '/v2',
  '/v2/health/live',
  '/v2/health/ready',
  '/v2/models/iris',
  '/v2/models/iris/ready',
  '/v2/models/iris/versions/v1.0.0/ready',
  '/v2/models/absent',
].map((path) => ({ name: path, again: 'forwarded', path }))

/** MLServer shows its models every header field: those that a model reads are named in `vary`. */
async function tryTenants(session: Session, direct: string): Promise<void> {
  const gateway = await session.gateway({
    name: 'tenants',
    upstream: direct,
    settings: {
      pools: { upstream: { backends: [{ url: direct }] } },
      routes: [{ name: 'all', pool: 'upstream', cache: { vary: ['x-tenant'] } }],
    },
  })
  const of = (tenant: string): Exchange => {
    const { fields, ...asked } = inferJson('tenant', [text('who')])
    return { name: `tenant ${tenant}`, again: 'hit', ...asked, fields: { ...fields, 'x-tenant': tenant } }
  }
  const exchanges = ['red', 'green'].map(of)
  await tryExchanges(session, {
    group: 'a header field that the model reads',
    direct,
    gateways: [gateway],
    invented: INVENTED,
    exchanges,
  })
}

async function startMlserver(session: Session, python: Python): Promise<{ server: Server; direct: string }> {
  const [http, grpc, metrics] = await freePorts(3)
  const models = join(session.folder, 'models')
  mkdirSync(models)
  await run(python.command, [join(import.meta.dirname, 'models.py'), models], { timeoutMs: 120_000 })
  const settings = {
    host: '127.0.0.1',
    http_port: http,
    grpc_port: grpc,
    metrics_port: metrics,
    parallel_workers: 0,
  }
  writeFileSync(join(models, 'settings.json'), JSON.stringify(settings))
  const direct = `http://127.0.0.1:${http}`
  const server = await session.start(
    {
      name: 'MLServer',
      command: python.program('mlserver'),
      args: ['start', models],
      cwd: models,
      env: { PYTHONPATH: import.meta.dirname, OMP_NUM_THREADS: '1' },
      ready: () => answers(direct, '/v2/health/ready'),
    },
    'mlserver start models',
  )
  return { server, direct }
}
