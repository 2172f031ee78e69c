/** Models published to an S3-compatible server by boto3, and followed by the gateway. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { answers } from '../../suite/ask.ts'
import { freePorts } from '../../suite/processes.ts'
import type { Python } from '../../suite/python.ts'
import { run } from '../../suite/run.ts'
import type { Session, System } from '../../suite/session.ts'
import { following, type PublishedStore, tryPublished } from '../followed.ts'

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
    await session.start(
      {
        name: 'Moto',
        command: python.program('moto_server'),
        args: ['-H', '127.0.0.1', '-p', String(port)],
        ready: () => answers(endpoint, '/moto-api/'),
      },
      'moto_server -p PORT',
    )
    await boto(python, endpoint, 's3.create_bucket(Bucket="models")')
    const gateway = await session.gateway({
      name: 'followed',
      upstream: '',
      settings: following(session, 's3://models/times', { s3: { endpoint, region: 'us-east-1' } }),
      env: CREDENTIALS,
      readyStatus: 503,
    })
    await tryPublished(session, gateway, { publish: publisher(session, python, endpoint) })
  },
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
