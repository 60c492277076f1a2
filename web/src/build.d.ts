// What vite.config.ts decides when the page is built.

/** Whether the default model's weights are part of the page. */
declare const __MODEL_INCLUDED__: boolean;
