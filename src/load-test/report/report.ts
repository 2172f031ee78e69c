/** The report of a load test: one HTML file with everything in it, for any browser, in which nothing runs and nothing is fetched. */
import type { Ratio } from '../compare.ts'
import type { Seen } from '../load-test.ts'
import { type LoadSummary, PERCENTILES, summarise } from '../summary.ts'
import { formatNumber, formatShare, formatUs } from '../units.ts'
import { type GatewaySample, gatewayCharts, sideCharts, spectrum } from './charts.ts'
import { type Markup, type MarkupValue, markup } from './markup.ts'
import { STYLE } from './style.ts'

export interface ReportSide {
  readonly url: string
  readonly seen: Seen
  /** What a reader of the numbers must know. */
  readonly notes: readonly string[]
}

export interface BenchReport {
  readonly at: Date
  /** How the test was made, name and value. Nothing secret. */
  readonly options: readonly (readonly [name: string, value: string])[]
  readonly sides: readonly ReportSide[]
  /** Of a comparison. */
  readonly ratios: readonly Ratio[]
  /** Sentences; undefined: nothing was promised. */
  readonly broken: readonly string[] | undefined
  /** What the gateway said of itself meanwhile, second by second. */
  readonly gateway: readonly GatewaySample[]
}

/** The file's text. */
export function reportHtml(report: BenchReport): string {
  const { at, sides, options, ratios, broken, gateway } = report
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Load test of ${sides[0]?.url ?? ''}, ${at.toISOString()}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Load test of ${sides.map(({ url }) => url).join(' beside ')}</h1>
<p class="quiet">${at.toISOString()}, infergate bench</p>
${broken ? verdict(broken) : ''}
${sides.map(({ notes, url }) => notes.map((note) => markup`<p class="note">${sides.length > 1 ? `${url}: ` : ''}${note}</p>`))}
<div class="tables">${sides.map((side) => summaryTable(side))}${ratios.length > 0 ? ratioTable(ratios) : ''}</div>
${sides.length > 1 ? markup`<p class="quiet">The servers were asked in turn. Below, the turns of each are put one behind the other.</p>` : ''}
${sideCharts(sides)}
${gatewayCharts(gateway)}
${spectrum(sides)}
<h2>How it was made</h2>
${table(options.map(([name, value]) => [name, value]))}
</main>
</body>
</html>
`
  return page.text
}

function verdict(broken: readonly string[]): Markup {
  if (broken.length === 0) return markup`<p class="kept">The service level was kept.</p>`
  return markup`<div class="broken"><p>The service level is broken:</p><ul>${broken.map((sentence) => markup`<li>${sentence}</li>`)}</ul></div>`
}

function summaryTable({ url, seen }: ReportSide): Markup {
  const summary = summarise(seen)
  return markup`<section><h2>${url}</h2>${table(rowsOf(summary))}</section>`
}

function rowsOf(summary: LoadSummary): (readonly [string, string])[] {
  const { latencyUs, written, hitShare, savedRowShare, statuses, faults } = summary
  const shareOr = (share: number | undefined) => (share === undefined ? 'not said' : formatShare(share))
  return [
    ['calls', `${summary.calls} in ${summary.seconds.toFixed(1)} s`],
    ['calls a second', formatNumber(summary.callsPerSecond)],
    ['rows a second', formatNumber(summary.rowsPerSecond)],
    ...Object.keys(PERCENTILES).map(
      (name) => [`latency ${name}`, formatUs(latencyUs[name as 'p50'])] as const,
    ),
    ['latency mean', formatUs(latencyUs.mean)],
    ...(written
      ? ([
          ['tokens a second', formatNumber(written.tokensPerSecond)],
          [
            'first token p50, p99',
            `${formatUs(written.firstTokenUs.p50)}, ${formatUs(written.firstTokenUs.p99)}`,
          ],
          [
            'between tokens p50, p99',
            `${formatUs(written.betweenTokensUs.p50)}, ${formatUs(written.betweenTokensUs.p99)}`,
          ],
        ] as const)
      : []),
    ['hits', shareOr(hitShare)],
    ['rows saved', shareOr(savedRowShare)],
    ['errors', formatShare(summary.errorShare)],
    ...Object.entries(statuses).map(([status, count]) => [`status ${status}`, String(count)] as const),
    ...Object.entries(faults).map(([fault, count]) => [`no answer: ${fault}`, String(count)] as const),
  ]
}

function ratioTable(ratios: readonly Ratio[]): Markup {
  const rows = ratios.map(
    ({ what, median, low, high }) =>
      [what, `${formatNumber(median)} (${formatNumber(low)} to ${formatNumber(high)})`] as const,
  )
  return markup`<section><h2>first / second</h2>${table(rows)}<p class="quiet">The middle of the rounds, and the lowest and the highest.</p></section>`
}

function table(rows: readonly (readonly MarkupValue[])[]): Markup {
  const cells = ([name = '', value = '']: readonly MarkupValue[]) =>
    markup`<tr><th scope="row">${name}</th><td>${value}</td></tr>\n`
  return markup`<table>${rows.map(cells)}</table>`
}
