/** The entry point of the thread that reads one list of backends. */
import { readYaml } from '../../config/yaml.ts'
import { backendsIn } from '../../control/discovery/file.ts'
import { answerRead } from '../read-in-thread.ts'

answerRead((text) => backendsIn(parseYaml(text)))

/** JSON is YAML as well. Environment variables are not expanded: other parties write this file. */
function parseYaml(text: string): unknown {
  const found = readYaml(text, {})
  if ('yaml' in found && found.yaml.problems.length === 0) return found.yaml.value
  const [problem] = 'yaml' in found ? found.yaml.problems : found.problems
  throw new Error(problem ? `${problem.line}:${problem.column}: ${problem.message}` : 'it is not YAML')
}
