/** Triton by pytriton: an ONNX model, every datatype in JSON and binary, its errors and its metadata. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { answers } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { refusedWithError, tryKilled } from '../../suite/killed.ts'
import { ROOT } from '../../suite/places.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Python } from '../../suite/python.ts'
import type { Server, Session, System } from '../../suite/session.ts'
import { TRITON } from '../environments.ts'
import { defaultsAndRows, tritonSample, tryScript } from '../sides.ts'
import {
  ALL_DATATYPES,
  DATATYPES,
  everyDatatype,
  inferBinary,
  inferJson,
  sample,
  type Tensor,
} from '../v2.ts'
import { tryTritonGrpc } from './triton-grpc.ts'

const MODELS_BY_TYPE: Readonly<Record<string, string>> = {
  BOOL: 'echo_bool_',
  BF16: 'echo_bfloat16',
  FP16: 'echo_float16',
  FP32: 'echo_float32',
  FP64: 'echo_float64',
}

const echo = (datatype: string): string => MODELS_BY_TYPE[datatype] ?? `echo_${datatype.toLowerCase()}`

const PICTURE = readFileSync(join(ROOT, 'models', 'samples', 'digit-7.v2.json'), 'utf8')

const floats = (...data: number[]): Tensor => ({
  name: 'x',
  datatype: 'FP32',
  shape: [data.length, 1],
  data: data.map(String),
})

const MODELS: readonly Exchange[] = [
  { name: 'ONNX', again: 'hit', path: '/v2/models/digits/infer', ...json(PICTURE) },
  { name: 'ONNX, by version', again: 'hit', path: '/v2/models/digits/versions/1/infer', ...json(PICTURE) },
  { name: 'a row that the model takes', again: 'hit', ...inferJson('fails', [floats(1, 2)]) },
]

// Only a gateway that proves rows before it splits a batch is right here.
const COUPLED: readonly Exchange[] = [
  { name: 'each row depends on all', again: 'hit', ...inferJson('mean', [floats(1, 2, 6)]) },
  { name: 'the first two of them', again: 'hit', ...inferJson('mean', [floats(1, 2)]) },
]

const ERRORS: readonly Exchange[] = [
  { name: 'an error of the model', again: 'forwarded', ...inferJson('fails', [floats(13)]) },
  { name: 'no such model', again: 'forwarded', ...inferJson('absent', [floats(1)]) },
  { name: 'no such version', again: 'forwarded', ...inferJson('fails/versions/9', [floats(1)]) },
  {
    name: 'a datatype that the model does not take',
    again: 'forwarded',
    ...inferJson('fails', [sample('x', 'INT8')]),
  },
  {
    name: 'a shape that the data do not fill',
    again: 'forwarded',
    ...inferJson('fails', [{ ...floats(1), shape: [2, 2] }]),
  },
  {
    name: 'more rows than the model takes',
    again: 'forwarded',
    ...inferJson('mean', [floats(...Array.from({ length: 20 }, (_, at) => at))]),
  },
  { name: 'no JSON', again: 'forwarded', path: '/v2/models/fails/infer', ...json('{"inputs":') },
]

const METADATA: readonly Exchange[] = [
  '/v2',
  '/v2/health/live',
  '/v2/health/ready',
  '/v2/models/digits',
  '/v2/models/digits/versions/1',
  '/v2/models/digits/ready',
  '/v2/models/digits/config',
  '/v2/models/absent',
  '/v2/models/absent/ready',
  '/absent',
].map((path) => ({ name: path, again: 'forwarded', path }))

// Triton's JSON has no numbers of 16 bits that are not whole.
const inText = DATATYPES.filter((datatype) => datatype !== 'FP16')

export const triton: System = {
  name: 'triton',
  title: 'Triton by pytriton, an ONNX model',
  guide: 'servers/triton.md',
  async run(session) {
    const python = await session.python(TRITON, [
      'nvidia-pytriton',
      'onnxruntime',
      'tritonclient',
      'requests',
    ])
    const { server, direct, grpc } = await startTriton(session, python)
    const [[defaults, rows]] = await Promise.all([defaultsAndRows(session, direct), allLoaded(direct)])
    const sides = { direct, gateways: [defaults, rows] }
    await tryExchanges(session, { ...sides, group: 'models', exchanges: MODELS })
    await tryExchanges(session, { ...sides, gateways: [defaults], group: 'models', exchanges: COUPLED })
    await tryExchanges(session, {
      ...sides,
      group: 'JSON, every datatype',
      exchanges: everyDatatype(
        (datatype) => inferJson(echo(datatype), [sample('x', datatype)]),
        () => 'hit',
        inText,
      ),
    })
    await tryExchanges(session, {
      ...sides,
      group: 'binary, every datatype',
      exchanges: everyDatatype(
        (datatype) => inferBinary(echo(datatype), [sample('x', datatype)], { id: '7' }),
        () => 'hit',
        ALL_DATATYPES,
      ),
    })
    await tryExchanges(session, { ...sides, gateways: [defaults], group: 'errors', exchanges: ERRORS })
    await tryExchanges(session, { ...sides, group: 'metadata', exchanges: METADATA })
    const models = ALL_DATATYPES.map((datatype) =>
      tritonSample(datatype, {
        model: echo(datatype),
        input: 'x',
        outputs: ['echo_x'],
        ...(inText.includes(datatype) ? {} : { forms: ['binary'] }),
      }),
    )
    const plan = { models, calls: ['get_model_repository_index', 'get_log_settings'] }
    await tryScript(session, { sides, python, group: 'tritonclient', script: 'triton_http.py', plan })
    await tryTritonGrpc(session, python, { http: direct, grpc, echo })
    await tryKilled(session, {
      ...sides,
      server,
      gateway: defaults,
      kept: inferJson('fails', [floats(1, 2)]),
      fresh: (number) => inferJson('fails', [floats(number + 100)]),
      refused: refusedWithError,
    })
    // It would load the rest of its models before it leaves.
    await server.kill()
  },
}

/** The server is ready with its first model, `fails`. */
function allLoaded(direct: string): Promise<void> {
  const names = ['digits', 'mean', 'counts', ...ALL_DATATYPES.map(echo)]
  return eventually(
    async () => {
      for (const name of names)
        if (!(await answers(direct, `/v2/models/${name}/ready`))) throw new Error(`${name} is not loaded`)
    },
    { timeoutMs: 300_000, everyMs: 200 },
  )
}

async function startTriton(
  session: Session,
  python: Python,
): Promise<{ server: Server; direct: string; grpc: string }> {
  const [http, grpcPort, metrics] = await freePorts(3)
  const direct = `http://127.0.0.1:${http}`
  const model = join(ROOT, 'models', 'digits.onnx')
  const server = await session.start(
    {
      name: 'Triton',
      command: python.command,
      args: [join(import.meta.dirname, 'server.py'), String(http), String(grpcPort), String(metrics), model],
      ready: () => answers(direct, '/v2/models/fails/ready'),
      deadlineMs: 300_000,
    },
    'python interop/systems/triton/server.py 8000 8001 8002 models/digits.onnx',
  )
  return { server, direct, grpc: `http://127.0.0.1:${grpcPort}` }
}
