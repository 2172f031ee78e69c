/**
 * The npm packages that an installation may lack (`optionalDependencies`): what needs each of them, whether they are there, and the
 * command that brings them. They are large, and most gateways need none of them.
 */
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { INSTALLATION } from './installation.ts'

const FEATURES = {
  onnx: { what: 'embedded models', packages: ['onnxruntime-node'] },
  tokenizer: { what: 'embedded models of texts', packages: ['@huggingface/tokenizers'] },
  s3: { what: 'models in S3', packages: ['@aws-sdk/client-s3'] },
  keda: { what: "KEDA's scaler", packages: ['@grpc/grpc-js', '@grpc/proto-loader'] },
  tfrecord: { what: 'prediction logs of the format tfrecord', packages: ['protobufjs'] },
  otlp: {
    what: 'traces',
    packages: [
      '@opentelemetry/api',
      '@opentelemetry/exporter-trace-otlp-proto',
      '@opentelemetry/resources',
      '@opentelemetry/sdk-trace',
    ],
  },
  autocannon: { what: 'bench --driver autocannon', packages: ['autocannon'] },
} as const

export type OptionalFeature = keyof typeof FEATURES

/** Why a feature cannot be used, and the command that mends it. */
export interface MissingPackages {
  readonly reason: string
  readonly command: string
}

/** Thrown where a feature is first used; its message is for the user. */
export class MissingPackageError extends Error {
  constructor({ reason, command }: MissingPackages) {
    super(`${reason}: ${command}`)
    this.name = 'MissingPackageError'
  }
}

/** Throws a MissingPackageError where a package of the feature is not installed. */
export function requirePackages(feature: OptionalFeature): void {
  const missing = missingPackages(feature)
  if (missing) throw new MissingPackageError(missing)
}

/** Undefined where everything is there. */
export function missingPackages(feature: OptionalFeature): MissingPackages | undefined {
  const { what, packages } = FEATURES[feature]
  const missing = packages.filter((name) => !isInstalled(name))
  if (missing.length === 0) return undefined
  const [noun, verb] = missing.length === 1 ? ['package', 'is'] : ['packages', 'are']
  return {
    reason: `the ${noun} ${missing.join(' and ')}, needed for ${what}, ${verb} not installed`,
    command: installCommand(missing, INSTALLATION),
  }
}

function isInstalled(name: string): boolean {
  try {
    return findPackageJSON(name, import.meta.url) !== undefined
  } catch {
    return false
  }
}

/**
 * The command that adds packages to the installation in the folder `at`: a dependency of a project, a global one, one of npx, or
 * a clone. Install scripts are left out, since that of onnxruntime-node loads CUDA's libraries from another host, and npm drops an
 * optional package without a word where its script fails.
 */
export function installCommand(names: readonly string[], at: string): string {
  const modules = dirname(at)
  if (basename(modules) !== 'node_modules') return 'npm ci --ignore-scripts'
  const versions = optionalVersions()
  const wanted = names.map((name) => `${name}@${versions[name]}`)
  const above = dirname(modules)
  if (basename(dirname(above)) === '_npx') {
    const packages = ['infergate', ...wanted].map((name) => `-p ${name}`)
    return `npx --ignore-scripts ${packages.join(' ')} infergate`
  }
  const where = basename(above) === 'lib' ? `-g --prefix ${dirname(above)} ` : ''
  return `npm install ${where}--ignore-scripts ${wanted.join(' ')}`
}

/** As this version was tested with them. */
function optionalVersions(): Readonly<Record<string, string>> {
  const text = readFileSync(join(INSTALLATION, 'package.json'), 'utf8')
  return (JSON.parse(text) as { optionalDependencies: Record<string, string> }).optionalDependencies
}
