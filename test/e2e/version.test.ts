/** One version, wherever it is said. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { disagreements } from '../../scripts/release/places.ts'
import { ROOT } from '../../scripts/site/repository.ts'
import { runInfergate, startGateway } from '../support/gateway.ts'

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }

test('chart, manifests, image, docs and the package for Spark have that of package.json', () => {
  expect(disagreements(ROOT, version)).toEqual([])
  expect(disagreements(ROOT, '77.0.0')).toContain(
    `Dockerfile: no 77.0.0 behind "org.opencontainers.image.version=\\""`,
  )
})

test('so have the command and the metrics of a gateway', async () => {
  expect((await runInfergate(['--version'])).stdout).toBe(`${version}\n`)
  const gateway = await startGateway()
  expect(await gateway.metric('infergate_build_info', { version })).toBe(1)
  await gateway.stop()
})
