/** A button on each block of commands, which copies them. */

export function offerCopies(): void {
  for (const block of document.querySelectorAll<HTMLElement>(
    'pre[data-language="sh"], pre[data-language="yaml"]',
  )) {
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = 'Copy'
    button.className = 'copy'
    button.addEventListener('click', () => {
      const text = block.querySelector('code')?.textContent ?? ''
      navigator.clipboard.writeText(text).then(
        () => tell('Copied'),
        () => tell('Not allowed'),
      )
    })
    const frame = document.createElement('div')
    frame.className = 'block'
    block.replaceWith(frame)
    frame.append(block, button)

    function tell(word: string): void {
      button.textContent = word
      setTimeout(() => {
        button.textContent = 'Copy'
      }, 1_500)
    }
  }
}
