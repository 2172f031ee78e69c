/** The HTML around a page: sidebar, outline, and what comes before and after it. */
import { posix } from 'node:path'
import type { Library } from './links.ts'
import type { Heading } from './markdown.ts'
import { type Group, hrefBetween, placeOf, titleOf } from './pages.ts'
import { escapeHtml } from './render.ts'

export interface Frame {
  readonly library: Library
  readonly groups: readonly Group[]
  readonly version: string
}

export interface Content {
  /** In the repository. */
  readonly file: string
  /** In the site. */
  readonly place: string
  readonly title: string
  readonly html: string
  readonly headings: readonly Heading[]
}

/** Scripts, styles and pictures are the site's own; nothing is asked of another host, and nothing runs that stands in a page. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

export function layout(frame: Frame, content: Content): string {
  const { place, title, html } = content
  const root = hrefBetween(place, 'index.html').replace(/index\.html$/, '')
  const isFront = place === 'index.html'
  return `<!doctype html>
<html lang="en" data-root="${root}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(isFront ? title : `${title} · infergate`)}</title>
<link rel="icon" href="${root}assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${root}assets/site.css">
<script src="${root}assets/theme.js"></script>
<script src="${root}assets/site.js" defer></script>
</head>
<body>
<a class="skip" href="#content">To the text</a>
<header>
<a class="brand" href="${root}index.html"><img src="${root}assets/icon.svg" alt="" width="26" height="26"> <b>infergate</b> <small>${escapeHtml(frame.version)}</small></a>
<div class="search" role="search" hidden>
<input type="search" id="search" placeholder="Search" aria-label="Search" autocomplete="off" spellcheck="false" role="combobox" aria-expanded="false" aria-controls="results">
<kbd>/</kbd>
<ol id="results" role="listbox" hidden></ol>
</div>
<button id="theme" type="button" hidden>Theme</button>
</header>
<div class="columns">
<nav class="pages" aria-label="Pages">${sidebar(frame, content)}</nav>
<main id="content" tabindex="-1">
<article>
${html}</article>
${around(frame, content)}
<footer>${escapeHtml(content.file)} of infergate ${escapeHtml(frame.version)}, MIT licence</footer>
</main>
${outline(content.headings)}
</div>
</body>
</html>
`
}

function sidebar({ groups, library }: Frame, { file, place }: Content): string {
  const item = (page: string, title: string) => {
    const current = page === file ? ' aria-current="page"' : ''
    return `<li><a href="${hrefBetween(place, placeOf(page))}"${current}>${escapeHtml(title)}</a></li>`
  }
  const listed = groups.map(({ title, pages }, at) => {
    const isOpen = pages.includes(file) || (at === 0 && !groups.some((group) => group.pages.includes(file)))
    const items = pages.map((page) => item(page, titleOf(library.pages.get(page), page)))
    return `<details${isOpen ? ' open' : ''}><summary>${escapeHtml(title)}</summary><ul>${items.join('')}</ul></details>`
  })
  return `<details class="menu" open><summary>Pages</summary><ul>${item('README.md', 'Start')}</ul>${listed.join('')}</details>`
}

/** The pages before and after it in the sidebar. */
function around({ groups, library }: Frame, { file, place }: Content): string {
  const all = ['README.md', ...groups.flatMap(({ pages }) => pages)]
  const at = all.indexOf(file)
  if (at < 0) return ''
  const link = (page: string | undefined, rel: string) => {
    if (page === undefined) return '<span></span>'
    const title = page === 'README.md' ? 'Start' : titleOf(library.pages.get(page), page)
    return `<a rel="${rel}" href="${hrefBetween(place, placeOf(page))}">${escapeHtml(title)}</a>`
  }
  return `<nav class="around" aria-label="Before and after">${link(all[at - 1], 'prev')}${link(all[at + 1], 'next')}</nav>`
}

function outline(headings: readonly Heading[]): string {
  const shown = headings.filter(({ level }) => level === 2 || level === 3)
  if (shown.length < 2) return '<aside></aside>'
  const items = shown.map(
    ({ level, slug, text }) =>
      `<li class="level-${level}"><a href="#${encodeURIComponent(slug)}">${escapeHtml(text)}</a></li>`,
  )
  return `<aside><nav aria-label="On this page"><p>On this page</p><ul>${items.join('')}</ul></nav></aside>`
}

/** A page that shows what is in a folder: `entries` are files and, with a `/` at their end, folders. */
export function folderPage(library: Library, folder: string, entries: readonly string[]): string {
  const place = `${folder}/index.html`
  const items = entries.map((entry) => {
    const page = library.pages.get(entry)
    const to = entry.endsWith('/') ? `${entry}index.html` : placeOf(entry)
    const name = posix.basename(entry) + (entry.endsWith('/') ? '/' : '')
    const title = page ? escapeHtml(titleOf(page, entry)) : `<code>${escapeHtml(name)}</code>`
    return `<li><a href="${hrefBetween(place, to)}">${title}</a></li>\n`
  })
  return `<h1>${escapeHtml(folder)}</h1>\n<ul>\n${items.join('')}</ul>\n`
}
