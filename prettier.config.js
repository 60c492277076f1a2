// How TypeScript, JavaScript, CSS, HTML, JSON and Markdown are formatted here.
export default { printWidth: 110, singleQuote: true, proseWrap: 'preserve' };
