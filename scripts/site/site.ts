/** Writes the site: a page for each page of Markdown, and what these show and lead to. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { rolldown } from 'rolldown'
import { type Content, type Frame, folderPage, layout } from './layout.ts'
import type { Library } from './links.ts'
import { groupsOf, isPicture, placeOf, titleOf } from './pages.ts'
import { codeBlock, escapeHtml, renderPage } from './render.ts'
import { sectionsOf } from './search-data.ts'

export interface SiteOptions {
  /** Of the repository. */
  readonly root: string
  /** The folder of the site. What an earlier site had there is removed. */
  readonly out: string
  readonly version: string
}

const BROWSER = join(import.meta.dirname, 'browser')
/** Left by us, so that no folder of somebody else's is emptied. */
const MARK = '.infergate-site'

/** Returns the number of pages. */
export async function buildSite(library: Library, { root, out, version }: SiteOptions): Promise<number> {
  empty(out)
  const frame: Frame = { library, groups: groupsOf(library), version }
  const rendered = [...library.pages].map(([file, page]) => {
    const { html, uses } = renderPage(library, file, page)
    const { headings } = page
    return { file, place: placeOf(file), title: titleOf(page, file), html, headings, uses }
  })
  const uses = withContents(library, new Set(rendered.flatMap(({ uses }) => uses)))
  const shown = [...uses]
    .filter((use) => !library.pages.has(use) && !isPicture(use))
    .map((use) => extraPage(library, root, use))
  for (const content of [...rendered, ...shown]) write(join(out, content.place), layout(frame, content))
  for (const picture of [...uses].filter(isPicture)) {
    mkdirSync(dirname(join(out, picture)), { recursive: true })
    copyFileSync(join(root, picture), join(out, picture))
  }
  const sections = [...library.pages].flatMap(([file, page]) => sectionsOf(page, placeOf(file)))
  // A script and not JSON: a page that was opened as a file may load it.
  write(join(out, 'assets', 'search-data.js'), `globalThis.searchData=${JSON.stringify(sections)}\n`)
  await writeAssets(root, join(out, 'assets'))
  return rendered.length + shown.length
}

function empty(out: string): void {
  const present = readIfThere(out)
  if (present.length > 0 && !present.includes(MARK))
    throw new Error(`${out} is not empty and no site: choose another folder, or remove it`)
  rmSync(out, { recursive: true, force: true })
  write(join(out, MARK), '')
}

function readIfThere(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** A folder that is led to shows its files, and these are there as well. */
function withContents(library: Library, uses: ReadonlySet<string>): Set<string> {
  const all = new Set(uses)
  for (const use of all) if (use.endsWith('/')) for (const entry of entriesOf(library, use)) all.add(entry)
  return all
}

function entriesOf({ files }: Library, folder: string): string[] {
  const below = [...files].filter((file) => file.startsWith(folder)).map((file) => file.slice(folder.length))
  const names = below.map((path) => (path.includes('/') ? path.slice(0, path.indexOf('/') + 1) : path))
  return [...new Set(names)].sort().map((name) => folder + name)
}

/** What is no page of Markdown: a folder, or a file as it is. */
function extraPage(library: Library, root: string, use: string): Content {
  if (use.endsWith('/')) {
    const folder = use.slice(0, -1)
    const html = folderPage(library, folder, entriesOf(library, use))
    return { file: folder, place: `${folder}/index.html`, title: folder, html, headings: [] }
  }
  const bytes = readFileSync(join(root, use))
  const text = bytes.includes(0) ? `${bytes.length} bytes that are no text\n` : bytes.toString()
  const language = posix.extname(use).slice(1)
  const html = `<h1><code>${escapeHtml(use)}</code></h1>\n${withLines(codeBlock(text, language))}`
  return { file: use, place: placeOf(use), title: use, html, headings: [] }
}

/** Lines can be linked to as on GitHub: `#L10`. */
function withLines(html: string): string {
  let line = 0
  return html.replaceAll(/(?<=<code>|\n)(?=.*\n)/g, () => `<span id="L${++line}"></span>`)
}

async function writeAssets(root: string, folder: string): Promise<void> {
  for (const name of ['theme', 'site']) {
    const build = await rolldown({ input: join(BROWSER, `${name}.ts`), platform: 'browser', tsconfig: false })
    const { output } = await build.generate({ format: 'iife', minify: true })
    await build.close()
    write(join(folder, `${name}.js`), output[0].code)
  }
  copyFileSync(join(BROWSER, 'site.css'), join(folder, 'site.css'))
  copyFileSync(join(root, 'src', 'dashboard', 'icon.svg'), join(folder, 'icon.svg'))
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
