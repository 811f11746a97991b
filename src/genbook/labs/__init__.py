"""Live labs: trained models that run in the reader's browser.."""
