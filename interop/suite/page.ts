/** `docs/interop.md` as the results make it: nobody writes it by hand, and the check says where somebody did. */
import type { CheckResult, Results, SystemResult } from './results.ts'
import { count, OUTCOMES } from './results.ts'
import type { System } from './session.ts'

/** `systems`: where each has its guide. */
export function page(results: Results, systems: readonly Pick<System, 'name' | 'guide'>[]): string {
  const all = [...results]
  const guides = new Map(systems.map(({ name, guide }) => [name, guide]))
  return `# Interop

What the gateway was tried with: the real software, asked directly and through the gateway, first and again. \`npm run
interop\` writes this page from what it saw ([how it works](../interop/README.md)); nothing here is written by hand.

An answer agrees when status, header fields and body are the same directly, through the gateway the first time, and the
second time, which has to come from the cache wherever the gateway promises that. Left out of the comparison are fields of one
connection or moment (\`date\`, \`age\`, \`cache-status\` and the like), what a server makes up anew for each answer, and of
answers from the cache the fields that [are not kept](reference/headers.md#what-is-kept-of-a-backends-answer).

| system | what | tried on | agree | differ, and why is known | fail | not tried |
|---|---|---|---|---|---|---|
${all.map(([name, result]) => overview(name, result)).join('\n')}

${all.map(([name, result]) => section(name, result, guides.get(name))).join('\n')}`
}

function overview(name: string, result: SystemResult): string {
  const counts =
    result.skipped === undefined
      ? OUTCOMES.map((outcome) => count(result, outcome))
      : ['not installed', '–', '–', '–']
  return `| [${name}](#${name}) | ${result.title} | ${result.date} | ${counts.join(' | ')} |`
}

function section(name: string, result: SystemResult, guide: string | undefined): string {
  const software = Object.entries(result.software).map(([software, version]) => `${software} ${version}`)
  const head = [
    `## ${name}`,
    `${result.title}. ${result.date}${software.length > 0 ? `: ${software.join(', ')}` : ''}.${guideOf(guide)}`,
    ...(result.commands.length > 0 ? [`\`\`\`sh\n${result.commands.join('\n')}\n\`\`\``] : []),
    ...(result.skipped === undefined ? [] : [`Not tried, because ${result.skipped}`]),
  ]
  const groups = Map.groupBy(result.checks, ({ group }) => group)
  const table = [
    '| tried | agrees | does not |',
    '|---|---|---|',
    ...[...groups].map(([group, checks]) => groupRow(group, checks)),
  ]
  return `${[...head, ...(groups.size > 0 ? [table.join('\n')] : [])].join('\n\n')}\n`
}

const guideOf = (guide: string | undefined): string =>
  guide === undefined ? '' : ` [How to run it](guide/${guide}).`

function groupRow(group: string, checks: readonly CheckResult[]): string {
  const agree = checks.filter(({ outcome }) => outcome === 'agrees').map(({ name }) => name)
  const others = checks.filter(({ outcome }) => outcome !== 'agrees').map(otherwise)
  return `| ${cell(group)} | ${cell(agree.join(', ') || '–')} | ${cell(others.join('; ') || '–')} |`
}

function otherwise({ name, outcome, detail = '' }: CheckResult): string {
  if (outcome === 'differs') return `${name}: ${detail}`
  const how = outcome === 'skipped' ? 'was not tried' : 'fails'
  return `**${name}** ${how}: \`${detail.replaceAll('`', "'")}\``
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
