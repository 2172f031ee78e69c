/** The entry point of the thread that reads one list of backends. */
import { parentPort, workerData } from 'node:worker_threads'
import { readYaml } from '../../config/yaml.ts'
import { backendsIn } from '../../control/discovery/file.ts'
import type { FoundBackend } from '../../control/registry/registration.ts'

export type ListRead = { readonly backends: readonly FoundBackend[] } | { readonly problem: string }

function read(text: string): ListRead {
  try {
    return { backends: backendsIn(parseYaml(text)) }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}

/** JSON is YAML as well. Environment variables are not expanded: other parties write this file. */
function parseYaml(text: string): unknown {
  const found = readYaml(text, {})
  if ('yaml' in found && found.yaml.problems.length === 0) return found.yaml.value
  const [problem] = 'yaml' in found ? found.yaml.problems : found.problems
  throw new Error(problem ? `${problem.line}:${problem.column}: ${problem.message}` : 'it is not YAML')
}

parentPort?.postMessage(read(workerData as string))
