/** A Caffe network by OpenCV's importer, over V1 and V2. */
import { join } from 'node:path'
import { answers } from '../../suite/ask.ts'
import { type Exchange, json, tryExchanges } from '../../suite/exchanges.ts'
import { refusedWithError, tryKilled } from '../../suite/killed.ts'
import { freePorts } from '../../suite/processes.ts'
import { run } from '../../suite/run.ts'
import type { System } from '../../suite/session.ts'
import { CAFFE } from '../environments.ts'
import { defaultsAndRows, tryScript } from '../sides.ts'
import { inferBinary, inferJson, type Tensor } from '../v2.ts'

/** A picture of one channel, 8 by 8: every pixel differs, and so does every picture. */
const picture = (number: number): number[] =>
  Array.from({ length: 64 }, (_, pixel) => ((pixel * 7 + number) % 16) / 16)

const nested = (pixels: readonly number[]) => [
  Array.from({ length: 8 }, (_, row) => pixels.slice(row * 8, row * 8 + 8)),
]

const tensor = (...numbers: number[]): Tensor => ({
  name: 'data',
  datatype: 'FP32',
  shape: [numbers.length, 1, 8, 8],
  data: numbers.flatMap(picture).map(String),
})

const predict = (instances: unknown) => ({ path: '/v1/models/net:predict', ...json({ instances }) })

const PREDICTIONS: readonly Exchange[] = [
  { name: 'V1, 2 pictures', again: 'hit', ...predict([nested(picture(1)), nested(picture(2))]) },
  { name: 'V1, one that was in a batch', again: 'hit', ...predict([nested(picture(2))]) },
  { name: 'V2 JSON, 3 pictures', again: 'hit', ...inferJson('net', [tensor(3, 4, 5)], { id: '7' }) },
  { name: 'V2 binary, 3 pictures', again: 'hit', ...inferBinary('net', [tensor(6, 7, 8)], { id: '7' }) },
  { name: 'V2 binary, pictures that were in batches', again: 'hit', ...inferBinary('net', [tensor(7, 4)]) },
]

const ERRORS: readonly Exchange[] = [
  { name: 'pictures of the wrong shape', again: 'forwarded', ...predict([[1, 2]]) },
  { name: 'no such model', again: 'forwarded', ...inferJson('absent', [tensor(1)]) },
]

const METADATA: readonly Exchange[] = ['/v1/models/net', '/v2', '/v2/health/ready', '/v2/models/net'].map(
  (path) => ({
    name: path,
    again: 'forwarded',
    path,
  }),
)

export const caffe: System = {
  name: 'caffe',
  title:
    'A Caffe network (prototxt and caffemodel) by the importer of OpenCV 4, over V1 and V2 (served by a script of ours)',
  guide: 'servers/caffe.md',
  async run(session) {
    const python = await session.python(CAFFE, ['opencv-python-headless', 'tritonclient', 'requests'])
    await run(python.command, [join(import.meta.dirname, 'network.py'), session.folder], {
      timeoutMs: 60_000,
    })
    const [port] = await freePorts(1)
    const direct = `http://127.0.0.1:${port}`
    const server = await session.start(
      {
        name: 'Caffe',
        command: python.command,
        args: [join(import.meta.dirname, 'server.py'), String(port), session.folder],
        ready: () => answers(direct, '/v2/health/ready'),
      },
      'python interop/systems/caffe/server.py 8000 FOLDER',
    )
    const [defaults, rows] = await defaultsAndRows(session, direct)
    const sides = { direct, gateways: [defaults, rows] }
    await tryExchanges(session, { ...sides, group: 'predictions', exchanges: PREDICTIONS })
    await tryExchanges(session, { ...sides, group: 'errors', exchanges: ERRORS })
    await tryExchanges(session, { ...sides, group: 'metadata', exchanges: METADATA })
    const models = [
      {
        model: 'net',
        input: 'data',
        datatype: 'FP32',
        shape: [2, 1, 8, 8],
        value: [...picture(9), ...picture(10)],
        outputs: ['prob'],
      },
    ]
    await tryScript(session, {
      sides,
      python,
      group: 'tritonclient',
      script: 'triton_http.py',
      plan: { models },
    })
    const plan = [
      {
        name: 'V1',
        method: 'POST',
        path: '/v1/models/net:predict',
        json: { instances: [nested(picture(1))] },
        cached: 1,
      },
    ]
    await tryScript(session, { sides, python, group: 'requests', script: 'plain_requests.py', plan })
    await tryKilled(session, {
      ...sides,
      server,
      gateway: defaults,
      kept: inferBinary('net', [tensor(1, 2)]),
      fresh: (number) =>
        inferBinary('net', [{ ...tensor(1), data: picture(1).map((pixel) => String(pixel + number)) }]),
      refused: refusedWithError,
    })
  },
}
