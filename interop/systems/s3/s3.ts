/** Models published to an S3-compatible server by boto3, and followed by the gateway, also when that server is killed. */
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { answers } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import type { Gateway } from '../../suite/gateway.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Python } from '../../suite/python.ts'
import { run } from '../../suite/run.ts'
import type { Server, Session, System } from '../../suite/session.ts'
import {
  AWAY,
  following,
  model,
  type PublishedStore,
  product,
  saysAway,
  tryAway,
  tryPublished,
} from '../followed.ts'

/** Moto takes any; the SDK of the gateway and boto3 want some. */
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'interop', AWS_SECRET_ACCESS_KEY: 'interop' }

export const s3: System = {
  name: 's3',
  title: 'S3 by Moto, models published to it',
  guide: 'model-stores.md',
  async run(session) {
    const environment = { name: 's3', packages: ['moto[server]==5.2.5', 'boto3==1.44.8'] }
    const python = await session.python(environment, ['moto', 'boto3'])
    const [port] = await freePorts(1)
    const endpoint = `http://127.0.0.1:${port}`
    const server = await session.start(
      {
        name: 'Moto',
        command: python.program('moto_server'),
        args: ['-H', '127.0.0.1', '-p', String(port)],
        ready: () => answers(endpoint, '/moto-api/'),
      },
      'moto_server -p PORT',
    )
    const makeBucket = () => boto(python, endpoint, 's3.create_bucket(Bucket="models")')
    await makeBucket()
    const gateway = await session.gateway({
      name: 'followed',
      upstream: '',
      settings: following(session, 's3://models/times', { s3: { endpoint, region: 'us-east-1' } }),
      env: CREDENTIALS,
      readyStatus: 503,
    })
    const publish = publisher(session, python, endpoint)
    await tryPublished(session, gateway, { publish })
    await tryCut(session, gateway, { publish, server })
    await tryAway(session, gateway, {
      publish,
      kill: () => server.kill(),
      // Moto keeps everything in memory. The newest version comes first: without it, the one before would be the newest.
      async restart() {
        await server.start()
        await makeBucket()
        await publish(2, model(3))
        await publish(1, model(2))
      },
    })
  },
}

/** A model whose file takes a while to fetch: behind it comes a text (field 6 of an ONNX model) of 128 MiB. */
const longModel = (factor: number): Buffer =>
  Buffer.concat([model(factor), Buffer.of(50, 0x80, 0x80, 0x80, 0x40), Buffer.alloc(2 ** 27)])

/** The server is killed while the gateway fetches a version from it. */
async function tryCut(
  session: Session,
  gateway: Gateway,
  { publish, server }: PublishedStore & { readonly server: Server },
): Promise<void> {
  await session.check(AWAY, 'a version that was half fetched is not served', async () => {
    const bytes = longModel(7)
    const begun = eventually(
      () => {
        if (sizesIn(session, 'partial').every((size) => size === 0)) throw new Error('nothing is fetched')
      },
      { timeoutMs: 60_000, everyMs: 2 },
    )
    await Promise.all([publish(9, bytes), begun.then(() => server.kill())])
    const isWhole = () => sizesIn(session, 'files').includes(bytes.length)
    if (isWhole()) return 'the fetch was over before the server was killed'
    const { value } = await eventually(
      async () => {
        await saysAway(gateway)
        return product(gateway)
      },
      { timeoutMs: 60_000 },
    )
    if (sizesIn(session, 'partial').length > 0 || isWhole()) return 'what was fetched of it is kept'
    return value === 3 ? undefined : `answered ${String(value)}`
  })
}

/** The lengths of the files in a folder of `stores.dir`. */
function sizesIn(session: Session, folder: string): number[] {
  const path = join(session.folder, 'models', folder)
  return readdirSync(path).flatMap(
    (name) => statSync(join(path, name), { throwIfNoEntry: false })?.size ?? [],
  )
}

function publisher(session: Session, python: Python, endpoint: string): PublishedStore['publish'] {
  return async (version, bytes) => {
    const file = join(session.folder, `model-${version}.onnx`)
    writeFileSync(file, bytes)
    await boto(
      python,
      endpoint,
      `s3.upload_file(${JSON.stringify(file)}, "models", "times/${version}/model.onnx")`,
    )
  }
}

async function boto(python: Python, endpoint: string, statement: string): Promise<void> {
  const client = `boto3.client("s3", endpoint_url="${endpoint}", region_name="us-east-1")`
  await run(python.command, ['-c', `import boto3\ns3 = ${client}\n${statement}`], {
    env: CREDENTIALS,
    timeoutMs: 60_000,
  })
}
