/** The command that brings a package which an installation lacks. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { installCommand, missingPackages } from '../../../src/lib/optional-packages.ts'

const { optionalDependencies: versions } = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
) as { optionalDependencies: Record<string, string> }
const onnx = `onnxruntime-node@${versions['onnxruntime-node']}`

it.each([
  ['a project', '/home/me/shop/node_modules/infergate', `npm install --ignore-scripts ${onnx}`],
  [
    'this machine',
    '/usr/local/lib/node_modules/infergate',
    `npm install -g --prefix /usr/local --ignore-scripts ${onnx}`,
  ],
  [
    'npx',
    '/home/me/.npm/_npx/0123456789abcdef/node_modules/infergate',
    `npx --ignore-scripts -p infergate -p ${onnx} infergate`,
  ],
  ['a clone', '/home/me/infergate', 'npm ci --ignore-scripts'],
])('adds it to %s', (_, at, command) => {
  expect(installCommand(['onnxruntime-node'], at)).toBe(command)
})

it('finds what a clone has', () => {
  expect(missingPackages('onnx')).toBeUndefined()
  expect(missingPackages('keda')).toBeUndefined()
})
