"""The Streamlit side: navigation, filters, grid, actions, record."""
