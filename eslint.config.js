// One lint configuration for the package, the page, their tests and the tools.
import eslint from '@eslint/js';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  // types.ts is code of a user, type-checked against the packed package
  { ignores: ['build/', '**/dist/', '**/node_modules/', 'tests/package/fixtures/types.ts'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off', // indexes inside checked loops; noUncheckedIndexedAccess stays on
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // node:test's describe and it return promises that the runner awaits
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', name: ['describe', 'it', 'test', 'suite'], package: 'node:test' },
          ],
        },
      ],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: { ...globals.node } },
  },
  {
    files: ['tests/package/fixtures/*.js', 'tests/bench/web/*.js'],
    languageOptions: { globals: { ...globals.browser } },
  },
  {
    // glue that Emscripten includes into its own output
    files: ['tests/support/node_environment.js', 'wasm/bindings/threads.js'],
    languageOptions: {
      sourceType: 'script',
      globals: { ...globals.node, Module: 'writable', ENV: 'readonly' },
    },
  },
  {
    rules: {
      eqeqeq: ['error', 'always'],
      'no-console': 'off',
      'prefer-const': 'error',
    },
  },
);
