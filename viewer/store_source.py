"""The app's `ViewerSource`: pictures and runs of the store.

    st.App("main.py", routes=routes(StoreSource(workplace, person)))
"""
